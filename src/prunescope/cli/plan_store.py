"""The store beside a plan: what it holds of the study, and whether it was begun with another version of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.printing import tell
from prunescope.errors import counted, printable

if TYPE_CHECKING:
    from prunescope.study import Study
    from prunescope.table import Store


def store_beside(study: Study, path: Path | None) -> Store | None:
    """Return the store of a study, where there is one."""
    from prunescope.table import Store, is_store

    if path is not None:
        return Store(path) if path.exists() else None
    usual = Path("runs") / study.folder
    return Store(usual) if is_store(usual) else None


def version_differences(study: Study, store: Store) -> list[tuple[object, ...]]:
    """Compare with the versions of the study that a store holds, nearest first; none where this one is among them."""
    from prunescope.study import differences

    others = [version for version in store.studies() if version.name == study.name]
    if any(version.identity == study.identity for version in others):
        return []
    return sorted((differences(version, study) for version in others), key=len)


def print_store(study: Study, store: Store, content: dict[str, Any]) -> None:
    """Tell what of a study a store holds, and what differs from the version that it was begun with."""
    state = content["store"]
    versions = [version for version in store.studies() if version.name == study.name]
    unscored = content["left"]["scores"]
    ended = ": the study is finished" if not content["left"]["rungs"] and not unscored else ""
    tell("store", f"{state['path']}: {state['rungs_done']:,} of {content['rungs']:,} rungs are done{ended}")
    if unscored:
        whose = counted(unscored, "replicate of a cell is", "replicates of cells are")
        tell("", f"the training examples of {whose} not scored yet")
    if not versions:
        tell("", "this study was not begun there")
    elif state["differences"]:
        click.echo("\n  The store was begun with another version of this study. What differs, store -> now:")
        for difference in state["differences"][0]:
            click.echo(f"    {printable(difference)}")
        identities = {ladder.identity for version in versions for ladder in version.ladders}
        now = {ladder.identity for ladder in study.ladders}
        click.echo(
            f"  {len(now & identities):,} ladders are the same and keep their rungs, {len(now - identities):,} are "
            f"new, {len(identities - now):,} of the store are not asked for any more (they stay)."
        )
