"""Pack measurements of stores, or of a table, as a table that comes with the package.

python -m tools.publish NAME SOURCE [...] [--study FILE ...] [--lens]

With --lens, what the lens sees in single examples of the first source, a store, is written beside the table; rows
that a file has of other cells stay, so a study can be measured in parts, each in a store of its own.

Rows are joined; a rung that several sources have is kept once. Left out are unpruned errors, since a reader makes
them of the rows, and the loss on original labels where no label is wrong, which is the training loss. Losses keep six
digits, which is what single precision has.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import duckdb

from prunescope.lens import analyze, paper_tables
from prunescope.lens.paper_tables import to_csv
from prunescope.table import read_table, write_table

FOLDER = Path(__file__).parents[1] / "src" / "prunescope" / "table" / "measurements"
LEFT_OUT = ("unpruned_error",)
# Left out where no label is wrong.
OF_NOISE = ("train_loss_original", "train_loss_noisy")
LEVEL = 19
OF_EXAMPLES = ("loss-by-el2n", "top-fifth", "leave-outs")


def pack(name: str, sources: list[str]) -> Path:
    """Write the table and return its path."""
    FOLDER.mkdir(exist_ok=True)
    target, draft = FOLDER / f"{name}.parquet", FOLDER / f"{name}.draft.parquet"
    parts = []
    for number, source in enumerate(sources):
        part = FOLDER / f"{name}.part{number}.parquet"
        write_table(read_table(source), part)
        parts.append(part)
    with duckdb.connect() as database:
        read = ", ".join(f"'{part}'" for part in parts)
        columns = database.sql(f"describe select * from read_parquet([{read}], union_by_name=true)").fetchall()
        left_out = LEFT_OUT if _has_noise(parts) else (*LEFT_OUT, *OF_NOISE)
        kept = [
            f"round({column}, 6 - ceil(log10(greatest(abs({column}), 1e-12)))::int) as {column}"
            if kind == "DOUBLE" and "loss" in column
            else column
            for column, kind, *_ in columns
            if column not in left_out
        ]
        order = [column for column, *_ in columns if column in ("depth", "width", "examples", "replicate", "density")]
        rows = f"select distinct {', '.join(kept)} from read_parquet([{read}], union_by_name=true)"
        database.sql(
            f"copy ({rows} order by {', '.join(order)}) to '{draft}' "
            f"(format parquet, compression zstd, compression_level {LEVEL})"
        )
    for part in parts:
        part.unlink()
    return draft.replace(target)


def _has_noise(parts: list[Path]) -> bool:
    return any(bool((read_table(part)["label_noise"] > 0).any()) for part in parts)


def lens_tables(name: str, store: str) -> list[Path]:
    """Write what single examples show, and return the files; what a file has of other cells stays."""
    files = []
    for table in paper_tables(analyze(store, examples=0, suspects=0)):
        if table.slug in OF_EXAMPLES:
            rows = tuple(
                tuple(float(f"{round(value, 9):.6g}") if isinstance(value, float) else value for value in row)
                for row in table.rows
            )
            files.append(FOLDER / f"{name}-{table.slug}.parquet")
            _as_parquet(to_csv(replace(table, rows=rows)), files[-1])
    return files


def _as_parquet(csv: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as there, duckdb.connect() as database:
        text, draft = Path(there) / "table.csv", target.with_suffix(".draft.parquet")
        text.write_text(csv, encoding="utf-8")
        database.sql(f"create table new as from read_csv('{text}', header=true)")
        if target.exists():
            others = f"from '{target}' anti join new using (network, label_noise)"
            database.sql(f"insert into new by name select * {others}")
        database.sql(
            f"copy (from new order by network, label_noise, rowid) to '{draft}' "
            f"(format parquet, compression zstd, compression_level {LEVEL})"
        )
        draft.replace(target)


def main() -> None:
    """Pack what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--study", action="append", default=[], type=Path)
    parser.add_argument("--lens", action="store_true")
    arguments = parser.parse_args()
    written = pack(arguments.name, arguments.sources)
    for study in arguments.study:
        shutil.copyfile(study, FOLDER / study.name)
    if arguments.lens:
        lens_tables(arguments.name, arguments.sources[0])
    sys.stdout.write(f"{written}: {len(read_table(written)):,} rows, {written.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
