"""The learning rate: a function of the place in a schedule, and of nothing that went before."""

from __future__ import annotations

import math

from prunescope.study.sections import Recipe

RISE = 0.3  # share of a training in which one-cycle's rate grows where no warm-up is given, as in torch
START, END = 1 / 25, 1 / 25e4  # shares of the highest rate that one-cycle begins and ends with, as in torch


def rate(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """Return the learning rate at a step of an epoch, both from 0, of ``steps`` steps an epoch.

    A function of the place in the schedule alone: what goes back to an epoch repeats the rates from there on. Warm-up
    grows by the same amount with every step and reaches the full rate at its last one. Cosine and linear fall from
    there, step by step, towards ``end_factor`` times the full rate, which the step after the last would have.
    """
    place, total = epoch * steps + step, recipe.epochs * steps
    if recipe.schedule == "one-cycle":
        return recipe.learning_rate * _one_cycle(place, total, recipe.warmup * steps or RISE * total)
    passed = sum(epoch >= milestone for milestone in recipe.milestones)
    full = recipe.learning_rate * recipe.factor**passed
    risen = recipe.warmup * steps
    if place < risen:
        return full * (place + 1) / risen
    if recipe.schedule in ("cosine", "linear"):
        share = (place - risen) / (total - risen)
        fallen = share if recipe.schedule == "linear" else (1 - math.cos(math.pi * share)) / 2
        return full * (1 - fallen * (1 - recipe.end_factor))
    return full


def _one_cycle(place: int, total: int, rise: float) -> float:
    """Return the share of the highest rate at a step: up to the last step of the rise and down, along cosines."""
    top, last = rise - 1, total - 1
    if place <= top:
        low, share = START, 1 - place / top if top else 0.0
    else:
        low, share = END, (place - top) / (last - top)
    return low + (1 - low) * (1 + math.cos(math.pi * share)) / 2


def held_rate(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """Return the rate that fine-tuning keeps: that of an epoch, and where it falls within, what it begins with."""
    falls = recipe.schedule in ("cosine", "linear", "one-cycle")
    return rate(recipe, epoch, 0 if falls else step, steps)
