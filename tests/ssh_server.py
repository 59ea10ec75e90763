"""An ssh server on this machine, for tests: ``python -m tests.ssh_server FOLDER``.

It takes one key and starts commands as they come. The folder, ``.ssh`` of a home, gets what a
client needs to reach 127.0.0.1 by it; ``config`` is written last.
"""

import asyncio
import sys
from pathlib import Path

import asyncssh


async def handle(process: asyncssh.SSHServerProcess) -> None:
    """Start the command of a client; its pipes are those of the connection."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    child = await asyncio.create_subprocess_shell(process.command, **pipes)
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    process.exit(await child.wait())


async def serve(place: Path) -> None:
    """Serve until the process is killed."""
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    user.write_private_key(place / "key")
    user.write_public_key(place / "authorized")
    keys = {"server_host_keys": [host], "authorized_client_keys": str(place / "authorized")}
    server = await asyncssh.listen("127.0.0.1", 0, **keys, process_factory=handle)
    port, public = server.get_port(), host.export_public_key().decode()
    (place / "known").write_text(f"[127.0.0.1]:{port} {public}")
    settings = [f"Port {port}", "User reader", f"IdentityFile {place}/key"]
    settings += [f"UserKnownHostsFile {place}/known"]
    (place / "config").write_text("\n  ".join(["Host 127.0.0.1", *settings]) + "\n")
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
