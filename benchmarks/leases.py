"""What leases cost a run. Goal: under 10 ms for each of 1,000 ladders."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.builders import ladder_identity

from benchmarks.clock import Figure, seconds
from prunescope.table import Store

LADDERS = 1_000
RUNS = 5


def measure() -> Iterator[Figure]:
    """Measure taking, checking and letting go of ladders one by one, all together, and beside other runs."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store", create=True)
        ladders = [ladder_identity(number) for number in range(LADDERS)]

        def one_by_one() -> None:
            for ladder in ladders:
                store.leases.deaths(ladder)  # as a run asks before it trains a cohort
                with store.claim_all([ladder]) as claim:
                    assert claim.held() == {ladder}
                    claim.got_on([ladder])

        def together() -> None:
            with store.claim_all(ladders) as claim:
                assert len(claim.held()) == LADDERS

        def taken() -> None:
            other = Store(store.path)
            for ladder in ladders:
                with other.claim_all([ladder]) as claim:
                    assert not claim

        per_ladder = f"ms for each of {LADDERS:,} ladders"
        yield "taken, checked and let go, one by one", per_ladder, seconds(one_by_one, RUNS)
        yield "taken, checked and let go together", per_ladder, seconds(together, RUNS)
        with store.claim_all(ladders):
            yield "found with another run", per_ladder, seconds(taken, RUNS)
