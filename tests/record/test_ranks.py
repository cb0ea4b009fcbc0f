"""Two processes that train one model together, over gloo."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from prunescope import PrunescopeError, Recorder, read_table
from tests.record.loops import adamw, make, train_epoch


def _join(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)


def _leave() -> None:
    """End this process once all are done, at once: threads of torch can abort an interpreter that ends beside them."""
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)


def _store(rank: int, folder: Path) -> Path:
    return folder / "store" if rank == 0 else Path("/proc/nobody/can/write/here")


def climb_together(rank: int, folder: Path) -> None:
    """Climb two rungs, then start again and climb two more."""
    _join(rank, folder)
    seen = []
    for levels in (1, 3):
        recorder = Recorder(_store(rank, folder), levels=levels, rewind_epoch=1)
        if rank == 0:
            assert "rungs>" in repr(recorder)  # waits for nobody
        recorder.score_examples([0, 1], [0.25, 0.5], networks=1, epoch=1)
        for rung in recorder:
            torch.manual_seed(rank)  # even where ranks make other models
            made = make(rung.seed + rank)
            made.register_buffer("odd", torch.tensor([rank], dtype=torch.int16))  # gloo does not take this type
            model = DistributedDataParallel(made, broadcast_buffers=False, init_sync=False)
            rule = adamw(model)
            with rung.on(model, rule):
                start = [value.clone() for value in model.module.state_dict().values()]
                for epoch in rung.epochs(3):
                    train_epoch(model, rule, 10 * rank + epoch)
                seen.append((rung.number, rung.density, start, [p.detach().clone() for p in model.parameters()]))
                rung.record(test_error=0.25 + rank)
    torch.save(seen, folder / f"seen{rank}")
    _leave()


def fail_together(rank: int, folder: Path) -> None:
    """Fail at what rank 0 alone can see."""
    _join(rank, folder)
    words = ""
    try:
        for rung in Recorder(_store(rank, folder), levels=1):
            model: nn.Module = DistributedDataParallel(make(rung.seed))
            with rung.on(model, adamw(model)):
                for _ in rung.epochs(1):
                    if rank == 0:
                        with torch.no_grad():
                            next(model.parameters()).fill_(float("nan"))
                rung.record(test_error=0.5)
    except PrunescopeError as trouble:
        words = str(trouble)
    (folder / f"words{rank}").write_text(words)
    _leave()


def test_every_rank_trains_the_same_masks_from_the_same_start_and_rank_0_writes(tmp_path: Path) -> None:
    spawn(climb_together, args=(tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]
    one, other = (torch.load(tmp_path / f"seen{rank}") for rank in (0, 1))
    assert [number for number, *_ in one] == [0, 1, 2, 3]
    for (number, density, start, after), (_, other_density, other_start, other_after) in zip(one, other, strict=True):
        assert density == other_density
        assert all(torch.equal(*pair) for pair in zip(start, other_start, strict=True))
        assert all(torch.equal(*pair) for pair in zip(after, other_after, strict=True))
        pruned = sum(int((values == 0).sum()) for values in after if values.ndim > 1)
        assert pruned == 192 - round(192 * 0.8**number)
    table = read_table(tmp_path / "store")
    assert table["test_error"].tolist() == [0.25] * 4


def test_what_fails_on_rank_0_fails_on_all(tmp_path: Path) -> None:
    spawn(fail_together, args=(tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]
    words = [(tmp_path / f"words{rank}").read_text() for rank in (0, 1)]
    assert "diverged" in words[0]
    assert words[1] == f"rank 0 failed: {words[0]}"
    assert not list((tmp_path / "store" / "rungs").iterdir())
