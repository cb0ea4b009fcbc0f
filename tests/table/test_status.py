"""How far a store is, who works on what, and what went wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from prunescope.cli.main import cli
from prunescope.errors import InputError, PrunescopeError
from prunescope.study import El2n, ensembles
from prunescope.table import Store, status
from tests.builders import ladder_identity, rung, small_study

LADDER = ladder_identity(0)


def test_status_is_derived_from_the_files(store: Store) -> None:
    study = small_study()
    store.begin(study)
    first, second, third, fourth = (ladder.identity for ladder in study.ladders)
    store.write([rung(0, number, ladder=first) for number in range(3)])
    store.write([rung(0, 0, ladder=second), rung(7, 0)])
    store.fail(second, 1, "diverged")
    store.fail(first, 2, "made good since")
    with store.claim(third) as free:
        assert free
        state = status(store)
    progress = state.studies[0]
    assert (progress.done, progress.running, progress.failed, progress.left) == (1, 1, 1, 1)
    assert (progress.rungs_done, progress.rungs) == (4, 12)
    assert [failure.words for failure in progress.failures] == ["diverged"]
    assert (state.rungs, state.strays) == (5, 1)
    assert fourth not in store.done()


def test_scores_of_examples_are_counted_from_the_files(store: Store) -> None:
    study = replace(small_study(), el2n=El2n(networks=2, epoch=1))
    store.begin(study)
    first, second, third, *others = (ensemble.identity for ensemble in ensembles(study))
    store.write_arrays("examples", first, 0, {"index": np.arange(3), "el2n": np.zeros(3, np.float32)})
    store.fail(first, 0, "made good since")
    store.fail(second, 0, "diverged")
    with store.claim(third):
        (progress,) = status(store).studies
    scores = progress.scores
    assert scores is not None
    assert (scores.done, scores.running, scores.failed, scores.left) == (1, 1, 1, len(others))
    assert scores.ensembles == 3 + len(others)
    assert [failure.words for failure in scores.failures] == ["diverged"]
    assert progress.failures == ()
    output = CliRunner().invoke(cli, ["status", str(store.path)]).output
    assert f"EL2N scores: 1 of {scores.ensembles} ensembles done, 0 running, 1 failed, {len(others) + 1} left" in output
    assert f"failed: {second}, rung 0: diverged" in output
    content = json.loads(CliRunner().invoke(cli, ["status", str(store.path), "--json"]).output)["studies"][0]["el2n"]
    assert (content["ensembles"], content["done"], content["failures"][0]["words"]) == (3 + len(others), 1, "diverged")


def test_a_study_that_asks_for_no_scores_is_told_none(store: Store) -> None:
    store.begin(small_study())
    assert status(store).studies[0].scores is None
    assert "EL2N" not in CliRunner().invoke(cli, ["status", str(store.path)]).output
    assert (
        json.loads(CliRunner().invoke(cli, ["status", str(store.path), "--json"]).output)["studies"][0]["el2n"] is None
    )


def test_looking_who_works_takes_no_claim_away(store: Store) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            store.running()

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(300):
            with store.claim(LADDER) as free:
                assert free
    finally:
        stop.set()
        looker.join()


def test_a_claim_does_not_live_on_in_a_forked_child(store: Store) -> None:
    program = (
        "import os, sys, time; from prunescope.table import Store\n"
        "with Store(sys.argv[1]).claim(sys.argv[2]) as free:\n"
        "    ready, done = os.pipe()\n"
        "    if os.fork() == 0: os.write(done, b'.'); sys.stdin.read(); os._exit(0)\n"
        "    os.read(ready, 1); print('held', flush=True); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", program, str(store.path), LADDER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.wait()
        with store.claim(LADDER) as free:
            assert free


def test_the_latest_failure_of_a_ladder_is_told(store: Store) -> None:
    study = small_study()
    store.begin(study)
    for number in range(6):
        store.fail(study.ladders[0].identity, 0, f"trouble {number}")
    assert [failure.words for failure in status(store).studies[0].failures] == ["trouble 5"]


@pytest.mark.parametrize(
    "content",
    [b"[]", b"{}", b"junk", b"\xff", b"[" * 100_000, b'{"ladder": 1e999, "rung": "x", "words": 1, "when": 1}'],
)
def test_a_strangers_notes_of_failure_are_refused_in_words(store: Store, content: bytes) -> None:
    from prunescope.table.durable import publish_bytes

    publish_bytes(store.path, store.path / "failures", LADDER, ".json", content)
    with pytest.raises(PrunescopeError):
        store.failures()


def test_links_inside_a_store_are_not_followed(store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (store.path / "examples" / LADDER).symlink_to(elsewhere)
    with pytest.raises(InputError, match="a link"):
        store.write_arrays("examples", LADDER, 0, {"loss": np.zeros(3)})
    (store.path / "claims" / f"{LADDER}.lease").symlink_to(elsewhere / "lease")
    with pytest.raises(OSError, match="symbolic"), store.claim(LADDER):
        pass
    assert not list(elsewhere.iterdir())


def test_a_claim_ends_with_its_holder(store: Store) -> None:
    with store.claim(LADDER) as free:
        assert free
        assert store.running() == {LADDER}
        with store.claim(LADDER) as again:
            assert not again
    assert store.running() == frozenset()
    program = (
        "import os, sys; from prunescope.table import Store\n"
        "with Store(sys.argv[1]).claim(sys.argv[2]) as free: assert free; os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(store.path), LADDER], check=False)
    assert killed.returncode == -9
    with store.claim(LADDER) as free:
        assert free


def test_thousands_of_ladders_are_claimed_with_few_descriptors(store: Store) -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))\n"
        "from prunescope.table import Store\n"
        "from tests.builders import ladder_identity\n"
        "store, ladders = Store(sys.argv[1]), [ladder_identity(number) for number in range(2560)]\n"
        "with store.claim_all(ladders) as free: print(len(free), len(store.running()))"
    )
    with store.claim(LADDER):
        done = subprocess.run(
            [sys.executable, "-c", program, str(store.path)], capture_output=True, text=True, check=False
        )
    assert done.stdout == "2559 2560\n", done.stderr


def test_claims_overlap_nowhere_and_leave_no_file_behind(store: Store) -> None:
    ladders = [ladder_identity(number) for number in range(4)]
    with store.claim_all(ladders[:2]) as first, store.claim_all(ladders[1:3]) as second:
        assert first == frozenset(ladders[:2])
        assert second == frozenset({ladders[2]})
        assert store.running() == set(ladders[:3])
        with store.claim_all(ladders) as third:
            assert third == frozenset({ladders[3]})
        with store.claim_all(ladders[:2]) as nothing:
            assert not nothing
    assert store.running() == frozenset()
    program = (
        "import os, sys; from prunescope.table import Store\n"
        "with Store(sys.argv[1]).claim(sys.argv[2]) as free: assert free; os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(store.path), LADDER], check=False)
    assert len(list((store.path / "claims").iterdir())) == 2  # a lease and a heartbeat
    Store(store.path).leases.tidy()
    assert not list((store.path / "claims").iterdir())


def test_studies_come_back_in_every_version(store: Store) -> None:
    store.begin(small_study(2))
    store.begin(small_study(5))
    store.begin(small_study(5))
    assert [study.recipe.levels for study in store.studies()] in ([2, 5], [5, 2])
