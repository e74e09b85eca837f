"""Where mappings are: the shipped ones in `rules/shipped/mappings`, one's own in the data folder, or any file."""

from pathlib import Path

import rules
from cdp.errors import CdpError
from cdp.settings import Settings
from serving.imports.apply import Mapper
from serving.imports.mapping import NAME, Mapping, load_mapping

SHIPPED = Path(rules.__file__).parent / "shipped" / "mappings"


class NoMapping(CdpError):
    """There is no mapping of that name."""


def own_folder(settings: Settings) -> Path:
    """Where a workspace's own mappings are; one of the name of a shipped one goes before it."""
    return settings.data_dir / "mappings"


def find_mapping(settings: Settings, name: str) -> Path:
    """The file of a mapping by its name. Raises NoMapping."""
    if NAME.fullmatch(name):
        for folder in (own_folder(settings), SHIPPED):
            file = folder / f"{name}.yaml"
            if file.is_file():
                return file
    known = ", ".join(sorted({file.stem for file in _files(settings)}))
    raise NoMapping(f"There is no mapping {name[:80]!r}.", f"Known are {known}; `cdp mappings` lists them.")


def mapper_of(settings: Settings, given: str) -> Mapper:
    """The mapping of a name, or of a file that ends in .yaml or .yml. Raises CdpError."""
    file = Path(given) if given.endswith((".yaml", ".yml")) else find_mapping(settings, given)
    return Mapper(load_mapping(file), file.name, settings.timezone)


def all_mappings(settings: Settings) -> list[tuple[Mapping, bool]]:
    """Every mapping by name, and whether it is a shipped one. Raises InvalidMapping if one cannot be read."""
    found = {file.stem: file for file in reversed(_files(settings))}
    return [(load_mapping(file), file.parent == SHIPPED) for _, file in sorted(found.items())]


def _files(settings: Settings) -> list[Path]:
    """One's own first."""
    return [*sorted(own_folder(settings).glob("*.yaml")), *sorted(SHIPPED.glob("*.yaml"))]


class Mappers:
    """Mappings in memory, read again when their file changes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[Path, tuple[int, Mapper]] = {}

    def get(self, name: str) -> Mapper:
        """The mapping of a name. Raises NoMapping or InvalidMapping."""
        file = find_mapping(self._settings, name)
        stamp = file.stat().st_mtime_ns
        entry = self._known.get(file)
        if entry is None or entry[0] != stamp:
            entry = self._known[file] = (stamp, Mapper(load_mapping(file), file.name, self._settings.timezone))
        return entry[1]
