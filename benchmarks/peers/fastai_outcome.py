# SPDX-License-Identifier: BSD-3-Clause
"""fastai on the network, the head and the images of ../outcome.cpp, with its defaults. One line of JSON.

fastai_fine_tune: fine_tune(epochs). fastai_valley: fit_one_cycle at the rate that lr_find calls valley, an epoch of the
head, then, unfrozen and found anew, `epochs` of all at slice(valley / 100, valley), as its documentation has it.

    .deps/peers/bin/python benchmarks/peers/fastai_outcome.py --job '{"images": "images.pth", ...}'

The network is the one that the weights were made by (efficientnet_lite_pytorch), cut into the same three groups.
"""

import argparse
import json
import time
import warnings

import torch
from efficientnet_lite_pytorch import EfficientNet
from fastai.basics import CrossEntropyLossFlat, DataLoader, DataLoaders, Learner, params
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import valley  # its import adds fine_tune, fit_one_cycle and lr_find to Learner
from torch import nn

MEAN, STD = 0.498, 0.502


def split(net):
    """Where thaw cuts it by efficientnet_lite_cuts()."""
    blocks = list(net._blocks)
    early, late = nn.ModuleList([net._conv_stem, net._bn0, *blocks[:5]]), nn.ModuleList([*blocks[5:], net._conv_head, net._bn1])
    return [params(early), params(late), params(net._fc)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", type=json.loads)
    job = argparse.Namespace(**parser.parse_args().job)
    warnings.filterwarnings("ignore")
    torch.manual_seed(job.seed)
    data = torch.load(job.images)
    sets = {
        part: torch.utils.data.TensorDataset((data[f"{part}.images"].float() / 255 - MEAN) / STD, data[f"{part}.labels"])
        for part in ("train", "valid")
    }
    net = EfficientNet.from_name("efficientnet-lite0", drop_connect_rate=0)  # as thaw has it
    net.load_state_dict(torch.load(job.weights))
    net._fc = nn.Linear(net._fc.in_features, int(data["train.labels"].max()) + 1)

    train = DataLoader(sets["train"], bs=32, shuffle=True)
    learner = Learner(DataLoaders(train, train.new([])), net, loss_func=CrossEntropyLossFlat(), splitter=split)
    learner.remove_cb(ProgressCallback)
    learner.logger = lambda *_: None
    start = time.process_time()  # of all threads
    if job.arm == "fastai_fine_tune":
        learner.fine_tune(job.epochs)
    else:
        learner.freeze()
        learner.fit_one_cycle(1, learner.lr_find(suggest_funcs=valley, show_plot=False).valley)
        learner.unfreeze()
        found = learner.lr_find(suggest_funcs=valley, show_plot=False).valley
        learner.fit_one_cycle(job.epochs, slice(found / 100, found))
    seconds = time.process_time() - start

    net.eval()
    right = 0
    with torch.no_grad():
        for images, labels in torch.utils.data.DataLoader(sets["valid"], batch_size=64):
            right += (net(images).argmax(1) == labels).sum().item()
    print(json.dumps(dict(accuracy=right / len(sets["valid"]), seconds=seconds)))


if __name__ == "__main__":
    main()
