"""Callbacks within the real trainers, on a tiny model, against a plain loop of the same recipe."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from prunescope import InputError, PrunescopeError, Recorder, read_table
from tests.record.loops import blobs, make

EPOCHS = 4


def recorder(folder: Path, **changes: Any) -> Recorder:
    settings: dict[str, Any] = {"levels": 3, "rewind_epoch": 1, "examples": 60, "keep": "all"}
    return Recorder(folder, **settings | changes)


def by_hand(folder: Path, **changes: Any) -> Recorder:
    """Climb with a plain loop: SGD with momentum, a falling rate, batches in order."""
    x, labels = blobs(60, 0)
    rec = recorder(folder, **changes)
    for rung in rec:
        model = make(rung.seed)
        rule = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.LambdaLR(rule, _rate)
        with rung.on(model, rule, scheduler=scheduler):
            for _ in rung.epochs(EPOCHS):
                for first in range(0, 60, 20):
                    rule.zero_grad()
                    F.cross_entropy(model(x[first : first + 20]), labels[first : first + 20]).backward()  # type: ignore[no-untyped-call]
                    rule.step()
                    scheduler.step()
            rung.record(test_error=0.5)
    return rec


def _rate(step: int) -> float:
    return 1 - step / (3 * EPOCHS)


def same(one: Recorder, other: Recorder) -> None:
    assert one.done == other.done == {0, 1, 2, 3}
    for rung in range(4):
        for name, mask in one.masks(rung, make(0)).items():
            assert np.array_equal(mask, other.masks(rung, make(0))[name]), (rung, name)
        ours, theirs = (rec.load(rung, make(0)).state_dict() for rec in (one, other))
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-5, atol=1e-7)
    epochs = [sorted(zip(t["rung"].tolist(), t["epochs"].tolist(), strict=True)) for t in map(_table, (one, other))]
    assert epochs[0] == epochs[1] == [(0, 4), (1, 3), (2, 3), (3, 3)]


def _table(rec: Recorder) -> Any:
    return read_table(rec.store)


@pytest.mark.parametrize("rewind", ["weights", "learning-rate"])
def test_lightning_trains_what_a_plain_loop_does(tmp_path: Path, rewind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning = pytest.importorskip("pytorch_lightning")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, seed: int) -> None:
            super().__init__()
            for name, layer in make(seed).named_children():
                self.add_module(name, layer)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.children():
                x = layer(x)
            return x

        def training_step(self, batch: Any, number: int) -> torch.Tensor:
            return F.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            rule = torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)
            scheduler = torch.optim.lr_scheduler.LambdaLR(rule, _rate)
            return {"optimizer": rule, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def trainer(callback: Any, epochs: int = EPOCHS, **more: Any) -> Any:
        quiet = more | {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        return lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", devices=1, callbacks=[callback], enable_model_summary=False, **quiet
        )

    loader = DataLoader(TensorDataset(*blobs(60, 0)), batch_size=20)
    rec = recorder(tmp_path / "lightning", rewind=rewind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for rung in rec:
            model = Module(rung.seed)
            trainer(rung.lightning(EPOCHS)).fit(model, loader)
            rung.record(test_error=0.5)
        same(rec, by_hand(tmp_path / "hand", rewind=rewind))
        with pytest.raises(InputError) as refused:
            rung = next(iter(recorder(tmp_path / "other")))
            trainer(rung.lightning(EPOCHS), epochs=EPOCHS + 1).fit(Module(0), loader)
        assert [fault.place for fault in refused.value.faults] == ["max_epochs"]
        with pytest.raises(InputError) as refused:
            trainer(rung.lightning(EPOCHS), max_steps=5).fit(Module(0), loader)
        assert [fault.place for fault in refused.value.faults] == ["max_steps"]
        with pytest.raises(PrunescopeError, match="goes on after the rung's last epoch"):
            for later in recorder(tmp_path / "longer"):
                trainer(later.lightning(EPOCHS), min_epochs=EPOCHS).fit(Module(later.seed), loader)
                later.record(test_error=0.5)


class _Wrapped(nn.Module):
    """A model as Hugging Face's Trainer takes it: it returns its loss."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        for name, layer in make(seed).named_children():
            self.add_module(name, layer)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = x
        for layer in self.children():
            logits = layer(logits)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


@pytest.mark.parametrize("rewind", ["weights", "learning-rate"])
def test_transformers_train_what_a_plain_loop_does(
    tmp_path: Path, rewind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    x, labels = blobs(60, 0)
    data = [{"x": x[place], "labels": labels[place]} for place in range(60)]

    class InOrder(transformers.Trainer):  # type: ignore[misc, name-defined]
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(data)

    rec = recorder(tmp_path / "transformers", rewind=rewind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for rung in rec:
            model = _Wrapped(rung.seed)
            rule = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
            settings = transformers.TrainingArguments(
                str(tmp_path / "out"),
                num_train_epochs=EPOCHS,
                per_device_train_batch_size=20,
                max_grad_norm=0,
                use_cpu=True,
                save_strategy="no",
                report_to=[],
                logging_strategy="no",
                disable_tqdm=True,
            )
            trainer = InOrder(
                model,
                settings,
                train_dataset=data,
                optimizers=(rule, torch.optim.lr_scheduler.LambdaLR(rule, _rate)),
                callbacks=[rung.transformers(EPOCHS)],
            )
            trainer.train()
            rung.record(test_error=0.5)
    same(rec, by_hand(tmp_path / "hand", rewind=rewind))
