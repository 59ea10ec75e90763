"""What a wheel holds beside the library: the published numbers that claims are judged against.

An installation that points to the repository finds them there and has none of its own.
"""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PublishedNumbers(BuildHookInterface):
    """Puts data/reference into a wheel, as lib/reference."""

    def initialize(self, version, build_data):
        if version == "standard":
            build_data["force_include"]["data/reference"] = "lib/reference"
