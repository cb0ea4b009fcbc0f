"""A ladder climbed by somebody's own training loop, by the rules of the lab: `Recorder`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.data import generator
from prunescope.errors import DamageError, PrunescopeError, clipped, said
from prunescope.nets.cohort import Layout
from prunescope.prune import LadderRules, Masks, Probe, RungHandover, checkpoints
from prunescope.prune.scores import Score, score_of
from prunescope.prune.scores import score as named_score
from prunescope.record import ranks
from prunescope.record.module_state import ModuleState, Prunable, module_state, refusal
from prunescope.record.outcomes import score_arrays
from prunescope.record.rung import Rung
from prunescope.study.recorded import RecordedLadder, recorded_ladder
from prunescope.study.sections import Keep, keeps
from prunescope.table import ArrayEntry, ArrayKind, Claim, Store


class Recorder:
    """One ladder of somebody's own networks, kept in a store; iterate over it to train what is missing.

    ::

        recorder = Recorder("runs/mine", family="vit", dataset="birds", depth=12, levels=20, rewind_epoch=2)
        for rung in recorder:
            model = make_vit(seed=rung.seed)
            optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
            with rung.on(model, optimizer):
                for epoch in rung.epochs(90):
                    train_one_epoch(model, optimizer)
                rung.record(test_error=test(model))

    What the loop does decides the ladder's numbers too, and the store cannot see it: put what you vary into `recipe`.
    Ladders that are described alike count as one.

    Parameters
    ----------
    store
        The folder, made where there is none.
    family, dataset
        Names, for the table. Any.
    depth, width, examples, label_noise
        The cell. Say what varies; `examples` is 1 where it is neither given nor known from the dataset's name.
    replicate, seed
        Which repetition, and what the rungs' seeds follow from.
    treatment
        ``imp`` (prune again and again), ``one-shot`` (each rung pruned from rung 0 at once), ``extended`` (train on,
        nothing removed) or ``dense``.
    rewind
        ``weights``, ``learning-rate``, ``fine-tuning`` or ``reinitialise``.
    rewind_epoch
        Where rewinding goes back to.
    levels
        Rungs above the dense one. You may raise it later.
    pruning_fraction
        Share of the remaining weights that is removed from rung to rung.
    densities
        Densities of the rungs, such as ``[1, 0.5, 0.2]``, instead.
    score
        ``magnitude``, ``random``, ``gradient``, ``gradient-flow``, ``synaptic-flow``, or a function of the weights by
        layer (arrays) that returns a score for each; the lowest go.
    score_batches
        Batches of inputs and labels, for a score that asks the network: what can be gone through again and again, as a
        ``DataLoader``.
    scope
        ``global``: ranks over the whole network; ``layer``: each layer keeps its own share.
    prunable
        ``all`` linear layers, convolutions and attention that are trained; ``all-but-output``; a list of names and
        patterns (``"blocks.*"``, ``"!head"``); or a function of a parameter's name and itself.
    keep
        Rungs whose weights the store keeps: ``none``, ``all`` or numbers.
    recipe
        How the networks are trained: plain content, in any words.
    source
        Whose loop it is; the calling script or module where not given.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | Store,
        *,
        family: str = "own",
        dataset: str = "own",
        depth: int = 1,
        width: float = 1.0,
        examples: int | None = None,
        label_noise: float = 0.0,
        replicate: int = 0,
        seed: int = 0,
        treatment: str = "imp",
        rewind: str | None = None,
        rewind_epoch: int = 0,
        levels: int | None = None,
        pruning_fraction: float | None = None,
        densities: Sequence[float] | None = None,
        score: str | Callable[..., Any] | None = None,
        score_batches: Iterable[tuple[Tensor, Tensor]] | None = None,
        scope: str | None = None,
        prunable: Prunable = "all",
        keep: Keep | Sequence[int] = "none",
        recipe: Mapping[str, Any] | None = None,
        source: str | None = None,
    ) -> None:
        if callable(score) and _path_of(score).endswith((":lambda", ":partial")):
            must = "must be defined with a name: ladders are told apart by it"
            raise refusal("score", must, type(score).__name__)
        named = [_path_of(prunable)] if callable(prunable) else prunable
        self.ladder: RecordedLadder = recorded_ladder(
            {
                "family": family,
                "dataset": dataset,
                "depth": _plain(depth),
                "width": float(width),
                "examples": _plain(examples),
                "label_noise": float(label_noise),
                "replicate": _plain(replicate),
                "seed": _plain(seed),
                "treatment": treatment,
                "rewind": rewind,
                "rewind_epoch": _plain(rewind_epoch),
                "levels": _plain(levels),
                "pruning_fraction": _plain(pruning_fraction),
                "densities": None if densities is None else [float(density) for density in densities],
                "score": _path_of(score) if callable(score) else score,
                "scope": scope,
                "prunable": named if isinstance(named, str) else list(named),
                "recipe": _plain(recipe or {}),
                "source": _caller() if source is None else source,
            }
        )
        self.prunable = prunable
        self._keep = _keep_of(keep)
        self._score: Score | None = None
        if self.ladder.score is not None:  # now, not after a rung was trained
            name = self.ladder.score
            self._score = score_of(score, name) if callable(score) else named_score(name)
        self._score_batches = score_batches
        if self._score is not None and self._score.asks and score_batches is None:
            must = f"must be given: score {self.ladder.score} asks the network about them"
            raise refusal("score_batches", must)
        self._opened: Store | None = None
        self._claim: Claim | None = None
        ranks.from_first(lambda: self._open(store))

    def _open(self, store: str | os.PathLike[str] | Store) -> None:
        self._opened = store if isinstance(store, Store) else Store(store, create=True)

    def __repr__(self) -> str:
        if self._opened is None:
            return f"<Recorder of {self.ladder.words}: {self.ladder.rungs} rungs>"
        done = self._opened.done().get(self.identity, ())  # rank 0 alone may ask for this
        return f"<Recorder of {self.ladder.words}: {len(done)} of {self.ladder.rungs} rungs>"

    @property
    def store(self) -> Store:
        """The store; rank 0 alone has it."""
        if self._opened is None:
            raise PrunescopeError("rank 0 alone has the store")
        return self._opened

    @property
    def identity(self) -> str:
        """The ladder's identity."""
        return self.ladder.identity

    @property
    def done(self) -> frozenset[int]:
        """The rungs that the store has."""
        return ranks.from_first(lambda: self.store.done().get(self.identity, frozenset()))

    def __iter__(self) -> Iterator[Rung]:
        """Yield the rungs that the store lacks, one after another, and claim the ladder meanwhile."""
        with ExitStack() as opened:
            ranks.from_first(lambda: self._take(opened))
            done = self.done
            first = next(number for number in range(len(done) + 1) if number not in done)
            for number in range(first, self.ladder.rungs):
                rung = Rung(self, number)
                try:
                    yield rung
                finally:
                    rung.close()
                if not rung.is_recorded:
                    raise PrunescopeError(rung.left_words)

    def _take(self, opened: ExitStack) -> None:
        self._claim = opened.enter_context(self.store.claim_all([self.identity]))
        opened.callback(self._let_go)  # a rung that outlives the iteration is recorded without a claim
        if not self._claim:
            words = f"another loop climbs this ladder in {self.store.path}"
            raise PrunescopeError(f"{words}; give this one another replicate, or end that one")

    def _let_go(self) -> None:
        self._claim = None

    def seed_of(self, rung: int) -> int:
        """Return what the model of a rung is made from."""
        again = rung if self.ladder.done.rewind == "reinitialise" else 0
        return int(generator(*self._words, "start", again).integers(2**31))

    def draws(self, rung: int) -> np.random.Generator:
        """Return what random pruning for a rung goes by."""
        return generator(*self._words, "scores", rung)

    @property
    def _words(self) -> tuple[int | str, ...]:
        return self.ladder.cell.seed_words(self.ladder.seed, self.ladder.replicate)

    def rules(self, state: ModuleState) -> LadderRules:
        """Return the ladder's rules for a model."""
        ladder = self.ladder
        return LadderRules(ladder.identity, ladder.done, state.layers, ladder.keep, ladder.rewind_epoch, self._score)

    def probe(self, state: ModuleState) -> Callable[[Mapping[str, np.ndarray], Masks], Probe] | None:
        """Return what gives the network to scores that ask it."""
        batches = self._score_batches
        return None if batches is None else lambda tensors, masks: _probe(state, batches, tensors, masks)

    def note(self) -> dict[str, Any]:
        """Return what the store says about the ladder's networks; nothing before rung 0 is recorded."""
        notes = self.store.recorded(self.identity)
        if self.identity in notes:
            return dict(notes[self.identity].content)
        if self.identity in self.store.done():
            raise DamageError(f"{self.store.path / 'recorded' / self.identity}.*.json is damaged or gone")
        return {}

    def handover(self, rung: int, state: ModuleState) -> RungHandover | None:
        """Return what the rung below left."""
        return checkpoints.inherited(self.store, self.identity, rung - 1, state.layers) if rung else None

    def write(
        self,
        rung: int,
        state: ModuleState,
        masks: Masks,
        after: Mapping[str, np.ndarray],
        leave: RungHandover,
        outcome: Mapping[str, Any],
        note: Mapping[str, Any],
        outcomes: Mapping[ArrayKind, Mapping[str, np.ndarray]],
    ) -> None:
        """Write a rung: files first, then the row that makes it count."""
        if self._claim is not None and not self._claim.held():
            raise PrunescopeError("another loop took this ladder over while this one was stopped; that one goes on")
        ladder, store = self.ladder, self.store
        connected = all(bool(mask.any()) for mask in masks.by_name().values())
        told = checkpoints.rung_columns(ladder, rung, ladder.cell, ladder.done, masks, state.total, connected)
        row = told | dict(outcome) | {"source": ladder.source}
        arrays = checkpoints.rung_arrays(rung, masks, after, keeps(self._keep, rung))
        entries = [checkpoints.checkpoint(ladder.identity, rung, arrays, leave)]
        entries += (ArrayEntry(kind, ladder.identity, rung, kept) for kind, kept in outcomes.items())
        content = {"recorded": ladder.model_dump(mode="json"), **note}
        store.write_recorded(ladder.identity, content)
        store.write_all_arrays(entries)
        store.write([row])
        if self._claim is not None:
            self._claim.got_on([self.identity])

    def fail(self, rung: int, trouble: Exception) -> None:
        """Note in the store that a rung failed."""
        if ranks.is_first():
            self.store.fail(self.identity, rung, said(trouble))

    def score_examples(self, index: Any, el2n: Any, *, networks: int, epoch: int) -> None:
        """Keep EL2N of the training examples, so that the lens groups them by it.

        Parameters
        ----------
        index
            Their places in the training set, as in `Rung.record`.
        el2n
            Mean distance of early predictions from labels, ``|| softmax(f(x)) - onehot(y) ||_2``.
        networks, epoch
            Over how many networks, trained for how many epochs.
        """
        arrays = score_arrays(index, el2n, networks, epoch)
        if ranks.is_first():
            self.store.write_arrays(ArrayKind.EXAMPLES, self.ladder.scores_identity, 0, arrays)

    def masks(self, rung: int, model: nn.Module) -> dict[str, np.ndarray]:
        """Return which weights of a finished rung survive, by the layers' names."""
        layers = module_state(model, self.prunable).layers
        return checkpoints.read_masks(self.store, self.identity, rung, layers).by_name()

    def load(self, rung: int, model: nn.Module) -> nn.Module:
        """Set a model to a finished rung's weights, which the store must have kept, and return it."""
        state = module_state(model, self.prunable)
        state.load(checkpoints.read_weights(self.store, self.identity, rung, state.layers))
        return model


def _path_of(function: Any) -> str:
    """Return a function's name as an import path."""
    name = getattr(function, "__name__", type(function).__name__).strip("<>")
    return f"{getattr(function, '__module__', None) or '__main__'}:{name}"


def _keep_of(keep: Any) -> Keep:
    """Return which rungs' weights are to be kept."""
    if isinstance(keep, str) and keep in ("none", "all"):
        return keep  # type: ignore[return-value]
    numbers = tuple(map(_plain, keep)) if isinstance(keep, Iterable) else (None,)
    if not all(type(number) is int and number >= 0 for number in numbers):
        must = 'must be "none", "all" or numbers of rungs, such as (0, 8)'
        raise refusal("keep", must, clipped(keep))
    return numbers


def _plain(value: Any) -> Any:
    """Return content with lists for tuples and plain numbers for numpy's."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _caller() -> str:
    """Return the script or module that makes a recorder."""
    frame = sys._getframe(2)
    name = str(frame.f_globals.get("__name__", ""))
    if name and name != "__main__":
        return name
    return Path(str(frame.f_globals.get("__file__", "") or "a session")).name


class _Asked:
    """A model of somebody's own as scores ask it: other tensors, in evaluation mode."""

    def __init__(self, state: ModuleState) -> None:
        self._module = state.module

    def logits(self, tensors: Mapping[str, Tensor], x: Tensor, training: bool, layout: Layout) -> Tensor:
        """Return the logits ``[1, B, classes]`` of inputs ``[1, B, ...]``."""
        del layout
        was_training = self._module.training
        self._module.train(training)
        try:
            alone = {name: tensor[0] for name, tensor in tensors.items()}
            result = torch.func.functional_call(self._module, alone, (x[0],))
        finally:
            self._module.train(was_training)
        logits = getattr(result, "logits", result)
        return logits.unsqueeze(0)  # type: ignore[no-any-return]


def _probe(
    state: ModuleState, batches: Iterable[tuple[Tensor, Tensor]], arrays: Mapping[str, np.ndarray], masks: Masks
) -> Probe:
    """Return a model as a score may ask it."""
    dtypes = {name: tensor.dtype for name, tensor in state.tensors()}
    tensors = {
        name: torch.from_numpy(values).to(state.device, dtypes[name]).unsqueeze(0) for name, values in arrays.items()
    }

    def moved() -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, labels in batches:
            yield inputs.to(state.device), labels.to(state.device)

    first, examples = None, 0
    for inputs, labels in moved():
        first = inputs[:1] if first is None else first
        examples += len(labels)
    if first is None:
        must = "must hold batches each time it is gone through, as a DataLoader does"
        raise refusal("score_batches", must, "none")
    return Probe(_Asked(state), tensors, masks, moved, examples, torch.ones_like(first))
