import math

import pytest
import torch
from torch import nn

from tap.training.optim import flatten_state, is_decayed, learning_rate, parameter_groups, unflatten_state


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.25), (3, 1.0), (4, 1.0), (7, 0.55), (10, 0.1), (99, 0.1)],
)
def test_schedule_by_hand(step: int, expected: float) -> None:
    # 4 steps of warm-up, then half a cosine over steps 4 to 10 from 1 to .1; its middle is step 7.
    assert learning_rate(step, 11, 4, 1.0, 0.1) == pytest.approx(expected)


def test_schedule_without_warmup_and_of_one_step() -> None:
    assert learning_rate(0, 100, 0, 1.0, 0.0) == 1.0
    assert learning_rate(1, 3, 0, 1.0, 0.0) == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert learning_rate(0, 1, 0, 1.0, 0.1) == pytest.approx(0.1)
    assert learning_rate(0, 1, 1, 1.0, 0.1) == 1.0


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
        self.head = nn.Linear(4, 2)
        self.pad_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.fixed = nn.Parameter(torch.zeros(2, 2), requires_grad=False)


def test_groups_split_by_part_and_decay() -> None:
    groups, names = parameter_groups(Model(), 0.05, lambda name: name.split(".")[0])
    sizes = {(group["part"], group["weight_decay"]): len(group["params"]) for group in groups}
    assert sizes == {
        ("backbone", 0.05): 1,
        ("backbone", 0.0): 3,
        ("head", 0.05): 1,
        ("head", 0.0): 1,
        ("pad_token", 0.0): 1,
    }
    assert "fixed" not in names
    assert len(names) == 7
    assert not is_decayed("photograph.pad_token", torch.zeros(1, 1, 4))


def test_optimizer_state_round_trip() -> None:
    model = Model()
    groups, names = parameter_groups(model, 0.05, lambda name: name.split(".")[0])
    optimizer = torch.optim.AdamW(groups)
    model.head(model.backbone(torch.ones(2, 3))).sum().backward()
    optimizer.step()
    flat = flatten_state(optimizer.state_dict(), names)
    assert "head.weight/exp_avg" in flat
    other = torch.optim.AdamW(parameter_groups(model, 0.05, lambda name: name.split(".")[0])[0])
    state, unknown, missing = unflatten_state(flat, names, other.state_dict()["param_groups"])
    other.load_state_dict(state)
    assert unknown == missing == []
    again = flatten_state(other.state_dict(), names)
    assert flat.keys() == again.keys()
    assert all(torch.equal(flat[key], again[key]) for key in flat)
    assert unflatten_state({"ghost/step": torch.zeros(())}, names, [])[1:] == (["ghost/step"], names)
    assert "pad_token/untouched" in flat, "no gradient is not the same as lost state"
