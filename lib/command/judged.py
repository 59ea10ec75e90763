"""The verdicts, kept until something that they come from changes: the library, its packages, the
tables or the records. Those of the repository come with a clone.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

import papers
from lib import _boundary
from lib._boundary import whole
from lib.command import fresh
from lib.report.verdicts import verdicts as judge
from lib.runs.progress import Progress
from lib.runs.records import Store

SHIPPED = _boundary.ROOT / "data" / "verdicts.json"  # of the profile paper


def verdicts(
    profile: str, ids: list[str] | None = None, *, is_silent: bool = False
) -> pd.DataFrame:
    """The verdicts, see :func:`papers.verdicts`; judged unless kept ones are up to date. To
    judge more than one claim shows its progress on stderr, unless it is to be silent.
    """
    sources = _sources(papers.STORE, profile)
    own = papers.STORE.runs / f"verdicts-{profile}.json"
    for path in (own, SHIPPED):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["sources"] == sources:
                table = pd.DataFrame(content["rows"])
                table = table.astype({"value": float, "low": float, "high": float, "n": "Int64"})
                return table if ids is None else table[table["id"].isin(ids)]
    total = len(papers.PUBLISHED) if ids is None else len(ids)
    with Progress(total, "claim", shown=total > 1 and not is_silent) as shown:
        table = papers.verdicts(profile, ids, progress=lambda done: shown.show(done, ""))
    if ids is None:
        with contextlib.suppress(OSError):  # where nothing can be kept they are judged each time
            _keep(own, sources, table)
    return table


def ship() -> None:
    """Store the verdicts on the records of the repository for those who clone it."""
    store = papers.STORE.shipped
    table = judge(papers.CLAIMS, store.of, papers.PUBLISHED, "paper")
    _keep(SHIPPED, _sources(store, "paper"), table)


def shipped() -> list[dict[str, Any]]:
    """The verdicts that come with a clone."""
    return json.loads(SHIPPED.read_text(encoding="utf-8"))["rows"]


def _sources(store: Store, profile: str) -> str:
    """Digest of all that the verdicts in a profile come from."""
    records = fresh.of_records(papers.EXPERIMENTS, profile, store)
    return fresh.digest(fresh.common(), profile, records)


def _keep(path: Path, sources: str, table: pd.DataFrame) -> None:
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        part.write_text(json.dumps({"sources": sources, "rows": rows}, indent=1) + "\n")
