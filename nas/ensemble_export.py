"""An ensemble as files of its own: one module of several networks, which imports torch alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nas.dataset import Dataset
from nas.ensemble import Joint, by_share
from nas.folder import header, whole
from nas.normalise import affine
from nas.plan import plan
from nas.source import source
from nas.templates import LOAD, predict_source, sample_file

ENSEMBLE = '''
class Ensemble(nn.Module):
    """The mean of the members' probabilities, each with its share.

    {input} -> (batch, {classes}) log-probabilities.
    """

    def __init__(self):
        super().__init__()
        self.members = nn.ModuleList([{members}])
        self.shares = {shares}
{frames}
    def forward(self, x):
        {loop}
        return torch.stack(mean).sum(0).clamp_min(1e-30).log()
'''
WHOLE = "mean = [share * member(x).softmax(1) for member, share in zip(self.members, self.shares)]"
WINDOWED = """mean = []
        for member, share, frames in zip(self.members, self.shares, self.frames):
            start = (x.shape[1] - frames) // 2  # a member may see fewer frames than another
            mean.append(share * member(x[:, start : start + frames]).softmax(1))"""


def export_ensemble(joint: Joint, dataset: Dataset, folder: Path, budget: int, test: float | None) -> None:
    """Write model.py, weights.safetensors, config.json and predict.py into `folder`."""
    from safetensors.torch import load_file

    from nas.weights import save_weights

    members = by_share(joint.members)
    networks = [member.candidate.architecture for member in members]
    shape = max((network.input_shape for network in networks), key=lambda s: s[0])
    facts = [
        f"Data: {dataset.name} ({len(dataset.train):,} training samples, {len(dataset.classes)} classes).",
        f"Found: validation accuracy {joint.crossed:.4f}, selected on one half of that part and measured on the other"
        + ("." if test is None else f"; test accuracy {test:.4f}."),
        f"Size: {joint.params:,} parameters together, {joint.params / budget:.1%} of the budget of {budget:,}.",
    ]
    offset, scale = (array.tolist() for array in affine(dataset))
    config: dict[str, Any] = {
        "input_shape": list(shape),
        "classes": list(dataset.classes),
        "parameters": joint.params,
        "parameter_budget": budget,
        "validation_accuracy": joint.accuracy,
        "validation_accuracy_crossed": joint.crossed,
        "test_accuracy": test,
        "normalisation": {"kind": dataset.normalise, "offset": offset, "scale": scale},
        "file": sample_file(dataset),
        **({} if dataset.reading is None else {"reading": dict(dataset.reading.facts)}),
        "members": [
            {"weights": m.weights.name, "arm": m.weights.parent.name, "share": m.share, "network": str(network)}
            for m, network in zip(members, networks, strict=True)
        ],
    }
    tensors = {f"members.{i}.{name}": t for i, m in enumerate(members) for name, t in load_file(m.weights).items()}
    title = f"{len(members)} networks that answer together, found by nas."
    title = "A single network, since no others beside it are worth their parameters." if len(members) == 1 else title
    with whole(folder) as partial:
        (partial / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        (partial / "model.py").write_text(_source(joint, title, facts, shape), encoding="utf-8")
        (partial / "predict.py").write_text(predict_source(dataset), encoding="utf-8")
        save_weights(tensors, partial / "weights.safetensors")


def _source(joint: Joint, title: str, facts: list[str], shape: tuple[int, ...]) -> str:
    """model.py: a function for each kind of member, and the class of them together."""
    members = by_share(joint.members)
    makers: dict[str, str] = {}  # source of a network -> the function that makes it
    for member in members:
        text = source(plan(member.candidate.architecture), str(member.candidate.architecture))
        makers.setdefault(text, f"network{len(makers) + 1}")
    parts = [_maker(name, text) for text, name in makers.items()]
    names = [makers[source(plan(m.candidate.architecture), str(m.candidate.architecture))] for m in members]
    windows = [m.candidate.architecture.input_shape[0] for m in members]
    given = f"({', '.join(map(str, ('batch', *shape)))})"
    ensemble = ENSEMBLE.format(
        input=given,
        classes=members[0].candidate.architecture.shapes[-1][0],
        members=", ".join(f"{name}()" for name in names),
        shares=repr([round(m.share, 6) for m in members]),
        frames=f"        self.frames = {windows}\n" if len(set(windows)) > 1 else "",
        loop=WINDOWED if len(set(windows)) > 1 else WHOLE,
    )
    return (
        header([title, *facts], "model", given, joint.params)
        + "\n\n".join(parts)
        + "\n"
        + ensemble
        + LOAD.replace("Network()", "Ensemble()")
    )


def _maker(name: str, text: str) -> str:
    """A function that holds the classes of one network, so that those of two do not clash."""
    inner = "".join(f"    {line}" if line.strip() else line for line in text.splitlines(keepends=True))
    return f"def {name}():\n{inner}\n    return Network()\n"
