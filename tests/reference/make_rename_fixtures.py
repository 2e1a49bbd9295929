# SPDX-License-Identifier: BSD-3-Clause
"""Writes tests/fixtures/weights_renames.json: the names of one network by two publishers, in the same order.

Each pair is proven here: the same numbers under both names give the same outputs. EfficientNet-lite0's are those of the
published file, of which timm's network must give what its own names say. In a virtual environment:

    pip install --no-deps torch==2.13.0 torchvision==0.28.0 timm==1.0.31 numpy pillow safetensors pyyaml
    python3 tests/reference/make_rename_fixtures.py <folder of efficientnet-lite0-57934424.pth>
"""

import json
import pathlib
import sys

import torch

# torchvision's wheel for CUDA meets a CPU torch: its operators do not load, but their schemas must exist.
library = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm
import torchvision

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "weights_renames.json"


def filled(state):
    return {name: torch.linspace(-0.05, 0.05, t.numel()).sin().add(0.01 * (i % 7)).reshape(t.shape)
            for i, (name, t) in enumerate(state.items())}


def pair_by_outputs(one, other, size):
    """Names of `one` and of `other` in an order such that tensors of the same place make the same network."""
    theirs = one.state_dict()
    taken, pairs = set(), []
    for name, tensor in other.state_dict().items():
        mine = next(n for n in candidates(name, theirs) if n not in taken)
        assert theirs[mine].shape == tensor.shape, (mine, name)
        taken.add(mine)
        pairs.append((mine, name))
    assert len(pairs) == len(theirs)
    state = filled(theirs)
    one.load_state_dict(state)
    other.load_state_dict({name: state[mine] for mine, name in pairs})
    x = torch.linspace(-1, 1, 2 * 3 * size * size).sin().reshape(2, 3, size, size)
    with torch.no_grad():
        a, b = one.eval()(x), other.eval()(x)
    assert a.std() > 0 and torch.allclose(a, b, rtol=1e-4, atol=1e-5), (a - b).abs().max()
    return pairs


def candidates(name, theirs):
    """A ViT's tensors of torchvision that timm's `name` may be, the likeliest first."""
    table = {"cls_token": "class_token", "pos_embed": "encoder.pos_embedding"}
    if name in table:
        return [table[name]]
    parts = name.split(".")
    if parts[0] == "patch_embed":
        return [f"conv_proj.{parts[-1]}"]
    if parts[0] in ("norm", "head"):
        return [{"norm": "encoder.ln", "head": "heads.head"}[parts[0]] + "." + parts[-1]]
    inner = {"norm1": "ln_1.", "norm2": "ln_2.", "attn.qkv": "self_attention.in_proj_",
             "attn.proj": "self_attention.out_proj.", "mlp.fc1": "mlp.0.", "mlp.fc2": "mlp.3."}
    return [f"encoder.layers.encoder_layer_{parts[1]}.{inner['.'.join(parts[2:-1])]}{parts[-1]}"]


def lite0(folder):
    """Both list their tensors in the order in which they run, so that they pair by place."""
    published = torch.load(folder / "efficientnet-lite0-57934424.pth", weights_only=True)
    net = timm.create_model("tf_efficientnet_lite0")
    theirs = net.state_dict()
    pairs = list(zip(theirs, published, strict=True))
    assert all(theirs[a].shape == published[b].shape for a, b in pairs)
    net.load_state_dict({a: published[b] for a, b in pairs})
    case = json.loads((OUT.parent / "models" / "efficientnet_lite0.json").read_text())
    return net.eval(), case, pairs


def main():
    torch.manual_seed(0)
    for name in ("resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"):
        ours = {n: t.shape for n, t in torchvision.models.get_model(name).state_dict().items()}
        assert ours == {n: t.shape for n, t in timm.create_model(name).state_dict().items()}, name

    vit = pair_by_outputs(torchvision.models.vit_b_16(), timm.create_model("vit_base_patch16_224"), 224)
    net, case, lite = lite0(pathlib.Path(sys.argv[1]))
    check_lite0(net, case)
    lines = {"vit": [[b, a] for a, b in vit], "efficientnet_lite0": lite}
    OUT.write_text(json.dumps(lines, separators=(",", ":")).replace('],["', '],\n["') + "\n")


def check_lite0(net, case):
    """Against the outputs that make_model_fixtures.py had of the original on the same file."""
    for each in case["cases"][1:2]:  # 224 pixels: of other sizes, timm pads otherwise
        x = torch.sin(torch.arange(torch.Size(each["shape"]).numel(), dtype=torch.float64) * each["w"])
        with torch.no_grad():
            logits = net(x.reshape(each["shape"]).float())[:, :20].flatten()
        assert torch.allclose(logits, torch.tensor(each["logits"]), rtol=1e-3, atol=1e-3), logits


if __name__ == "__main__":
    main()
