"""The walk through what prunescope does, on a table that ships with it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from prunescope.errors import InputError, PrunescopeError
from prunescope.laws import JointLaw
from prunescope.spec import effort, read_study
from prunescope.table import read_table, write_table


def sample_path() -> Path:
    """Return the path of the sample table: made up from the papers' law (`tools/sample.py`), not measured."""
    return Path(str(resources.files("prunescope") / "samples" / "family.csv"))


def _refuse_to_replace(folder: Path) -> None:
    """Leave alone a file of the user's that happens to have the name of one of the demo's."""
    table = folder / "family.csv"
    if table.exists() and table.read_bytes() != sample_path().read_bytes():
        raise PrunescopeError(f"{table} is there already and is not the demo's; name another folder with --out")


def walk(folder: Path, say: Callable[[str], None]) -> None:
    """Plan a study, check and query a table, write it in two formats, show what a faulty file is told, fit a law."""
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_to_replace(folder)
    study = read_study("digits")
    total = effort(study.ladders)
    say("1. A study says what to train: prunescope plan digits")
    say(f"   {study.purpose}")
    say(f"   {len(study.cells)} cells, {len(study.ladders)} ladders, {total.networks:,} networks to train\n")

    sample = folder / "family.csv"
    sample.write_bytes(sample_path().read_bytes())
    table = read_table(sample)
    say(f"2. A table holds one row for each trained network: prunescope table {sample}")
    say(f"   {len(table):,} rows, all checked. (Made up from the first paper's law, to try the commands on.)\n")

    condition = "examples = 50000 and density > 0.1 and density < 0.11"
    say(f'3. Questions are asked in SQL: --where "{condition}"')
    answer = table.where(condition).query(
        "select depth, width, round(avg(error), 4) as error, round(avg(unpruned_error), 4) as unpruned, "
        "count(*) as networks "
        "from rungs group by depth, width order by depth, width"
    )
    say("   " + "".join(f"{name:>10}" for name in answer.names))
    for row in answer.rows():
        say("   " + "".join(f"{value:>10g}" for value in row.values()))

    written = folder / "family.parquet"
    write_table(table, written)
    same = read_table(written) == table
    say(f"\n4. Tables go to CSV, Parquet and JSON: --out {written}")
    say(f"   read back: {'the same table' if same else 'ANOTHER TABLE, which is a defect of prunescope'}\n")

    faulty = folder / "faulty.csv"
    faulty.write_text("density;eror\n1.0;8,4\n0,8;9.1\n1.7;none\n", encoding="utf-8")
    say(f"5. A file with faults is told all of them at once: prunescope table {faulty}")
    try:
        read_table(faulty)
    except InputError as told:
        say("\n".join(f"   {line}" for line in str(told).splitlines()))
    law = JointLaw(intervals="quick").fit(sample)
    say(f"\n6. One law tells every member's error at every density: prunescope fit {sample} --law joint")
    say("   " + ", ".join(f"{name} {value:.3g}" for name, value in law.parameters_.items()))
    new = {"depth": [26], "width": [1.0], "density": [0.1], "unpruned_error": [0.08]}
    say(f"   so depth 26, never trained, at density 0.1: error {law.predict(new)[0]:.4f} after 0.08 unpruned")
    say(f"\nAll files are in {folder}. Next: prunescope fit --help, prunescope plan, docs/laws.md")
