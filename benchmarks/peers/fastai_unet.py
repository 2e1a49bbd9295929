# SPDX-License-Identifier: BSD-3-Clause
"""fastai's fine_tune, with its defaults, on the U-Net and the images of ../membrane.cpp. One line of JSON.

    .deps/peers/bin/python benchmarks/peers/fastai_unet.py --job '{"arm": "fastai", "images": "images.pth", ...}'

The U-Net is fastai's DynamicUnet with 256 channels at its lowest resolution, of fastai's own parts and initial values,
over the network that the weights were made by (efficientnet_lite_pytorch). Its loss and its three groups are thaw's;
that network and loss are the same is checked first, by thaw's weights and output.
fastai_augmented...: each epoch sees the images that thaw augmented for that epoch. `best` is the epoch with the best
mean IoU; fastai's fine_tune itself keeps the last.
"""

import argparse
import importlib.util
import json
import time
import warnings
from pathlib import Path

import fastai
import torch
from efficientnet_lite_pytorch import EfficientNet
from fastai.basics import Callback, CrossEntropyLossFlat, DataLoader, DataLoaders, Learner, apply_init, params
from fastai.callback.hook import hook_outputs
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import fit_one_cycle  # noqa: F401 (its import adds fine_tune to Learner)
from fastai.layers import BatchNorm, ConvLayer, PixelShuffle_ICNR, ResBlock
from fastai.losses import DiceLoss
from torch import nn

TAPS = [0, 2, 4, 10]  # the last blocks before the resolution changes
BOTTOM = 256


def fastai_block():
    """fastai.vision itself cannot be imported where there is no torchvision; this file of it needs none."""
    path = Path(fastai.__file__).parent / "vision/models/unet.py"
    spec = importlib.util.spec_from_file_location("fastai.vision.models.unet", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.UnetBlock


class UNet(nn.Module):
    """DynamicUnet.__init__ step by step, for an encoder that is no nn.Sequential."""

    def __init__(self, body, classes):
        super().__init__()
        block = fastai_block()
        features, ni = body._fc.in_features, BOTTOM
        del body._fc
        self.body = body
        hooks = hook_outputs([body._blocks[i] for i in TAPS], detach=False)
        with torch.no_grad():
            body.eval().extract_features(torch.zeros(1, 3, 64, 64))
        taps = [hook.stored.shape[1] for hook in hooks]
        middle = nn.Sequential(ConvLayer(features, 2 * ni, norm_type=None), ConvLayer(2 * ni, ni, norm_type=None))
        layers = [BatchNorm(features), nn.ReLU(), middle]
        for i in reversed(range(len(TAPS))):
            layers.append(block(ni, taps[i], hooks[i], final_div=i > 0, norm_type=None))
            both = ni // 2 + taps[i]
            ni = both if i > 0 else both // 2
        layers.append(PixelShuffle_ICNR(ni, norm_type=None))
        self.up = nn.Sequential(*layers)
        ni += 3
        self.cross = ResBlock(1, ni, ni, norm_type=None)
        self.logits = ConvLayer(ni, classes, ks=1, act_cls=None, norm_type=None)
        apply_init(nn.Sequential(middle, self.cross), nn.init.kaiming_normal_)

    def forward(self, x):
        y = self.up(self.body.extract_features(x))
        return self.logits(self.cross(torch.cat([y, x], dim=1)))


def encoder(job):
    net = EfficientNet.from_name("efficientnet-lite0", drop_connect_rate=0)  # as thaw has it
    net.load_state_dict(torch.load(job.weights))
    return net


def split(net):
    """Where thaw cuts it by unet_cuts(efficientnet_lite_cuts())."""
    body, blocks = net.body, list(net.body._blocks)
    early = nn.ModuleList([body._conv_stem, body._bn0, *blocks[:5]])
    late = nn.ModuleList([*blocks[5:], body._conv_head, body._bn1])
    return [params(early), params(late), params(nn.ModuleList([net.up, net.cross, net.logits]))]


def check_same(job, data):
    """With thaw's weights, thaw's output and loss."""
    net = UNet(encoder(job), data["net_output"].shape[1])
    state = net.state_dict()
    theirs = {name[len("net.") :]: tensor for name, tensor in data.items() if name.startswith("net.")}
    of_decoder = [[name for name in names if not name.startswith("body.")] for names in (state, theirs)]
    renamed = dict(zip(*of_decoder, strict=True))  # in the same order
    net.load_state_dict({name: theirs[renamed.get(name, name)] for name in state})
    with torch.no_grad():
        output = net.eval()(data["valid.images"])
    torch.testing.assert_close(output, data["net_output"], rtol=1e-3, atol=1e-3)
    loss = DiceCrossEntropy()(output, data["valid.masks"].long())
    torch.testing.assert_close(loss.as_subclass(torch.Tensor), data["net_loss"], rtol=1e-4, atol=1e-4)


class DiceCrossEntropy:
    """thaw's, of fastai's two."""

    def __init__(self):
        self.dice, self.cross_entropy = DiceLoss(smooth=1, reduction="mean"), CrossEntropyLossFlat(axis=1)

    def __call__(self, output, target):
        return self.cross_entropy(output, target) + self.dice(output, target)


class Images(torch.utils.data.Dataset):
    """Of each epoch, or the same in all."""

    def __init__(self, images, masks):
        self.images, self.masks = (x if images.dim() == 5 else x[None] for x in (images, masks))
        self.epoch = 0

    def __len__(self):
        return self.images.shape[1]

    def __getitem__(self, i):
        epoch = self.epoch % len(self.images)
        return self.images[epoch, i], self.masks[epoch, i].long()


def scores(net, valid, batch):
    """thaw's iou(): pixels are counted over the whole pass, then a mean over the classes that occur."""
    net.eval()
    counts, loss = 0, 0
    with torch.no_grad():
        for images, masks in torch.utils.data.DataLoader(valid, batch_size=batch):
            output = net(images)
            loss += DiceCrossEntropy()(output, masks).item() * len(images)
            said = output.argmax(1)
            classes = range(output.shape[1])
            counts = counts + torch.tensor(
                [[((said == c) & (masks == c)).sum(), ((said == c) | (masks == c)).sum()] for c in classes]
            )
    iou = [both / either for both, either in counts.tolist() if either > 0]
    return dict(mean_iou=sum(iou) / len(iou), foreground_iou=sum(iou[1:]) / len(iou[1:]), loss=loss / len(valid))


class EachEpoch(Callback):
    """Tells the images which epoch it is, and keeps what each one ended with."""

    def __init__(self, train, valid, batch):
        self.train, self.valid, self.batch, self.epochs = train, valid, batch, []

    def after_epoch(self):
        self.train.epoch += 1
        self.epochs.append(scores(self.learn.model, self.valid, self.batch))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", type=json.loads)
    job = argparse.Namespace(**parser.parse_args().job)
    warnings.filterwarnings("ignore")
    data = torch.load(job.images)
    name = "augmented" if job.arm.startswith("fastai_augmented") else "train"
    train, valid = (Images(data[f"{part}.images"], data[f"{part}.masks"]) for part in (name, "valid"))
    check_same(job, data)
    torch.manual_seed(job.seed)
    net = UNet(encoder(job), data["net_output"].shape[1])

    loader = DataLoader(train, bs=job.batch, shuffle=True)
    learner = Learner(DataLoaders(loader, loader.new([])), net, loss_func=DiceCrossEntropy(), splitter=split)
    learner.remove_cb(ProgressCallback)
    learner.logger = lambda *_: None
    each = EachEpoch(train, valid, job.batch)
    start = time.process_time()  # of all threads
    learner.fine_tune(job.epochs, freeze_epochs=(job.epochs + 1) // 2, cbs=each)
    seconds = time.process_time() - start
    parameters = sum(p.numel() for p in net.parameters())
    best = max(each.epochs, key=lambda epoch: epoch["mean_iou"])
    print(json.dumps(scores(net, valid, job.batch) | dict(seconds=seconds, parameters=parameters, best=best)))


if __name__ == "__main__":
    main()
