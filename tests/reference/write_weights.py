# SPDX-License-Identifier: BSD-3-Clause
"""Writes one small network as real programs do, for tests/weights/writers_test.cpp, which reads each file by thaw.

    .deps/python/bin/python tests/reference/write_weights.py <folder>

<folder>/writers.json then lists, for each writer: "file", and what load_weights is given: "key", "prefix"; or "missing",
the module that this Python lacks. A file that thaw refuses has "refused", words of the error. "tensors" says how many of
the network's eight a file fills, if not all. ./dev python has most writers, ./dev peers fastai and Lightning.
"""

import argparse
import bz2
import collections
import datetime
import functools
import gzip
import importlib.util
import json
import os
import pathlib
import pickle
import sys
import tarfile
import warnings

import torch
from weight_net import Net, net  # noqa: F401  pickles name the class in this program

OUT = pathlib.Path(sys.argv[1])
WRITERS = []
torch.manual_seed(0)
warnings.simplefilter("ignore")


def optimizer_of(model, kind=torch.optim.AdamW):
    """One that has made a step, of nothing: its state is there, and the weights are as they were."""
    optimizer = kind(model.parameters(), lr=0.0, weight_decay=0.0)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


def arguments():
    return argparse.Namespace(lr=0.1, output_dir=pathlib.Path("runs/a"), started=datetime.datetime(2024, 5, 6),
                              device=torch.device("cpu"), dtype=torch.float16)


def writer(name, file, needs=(), **how):
    def register(write):
        WRITERS.append({"writer": name, "file": file, "needs": list(needs), "how": how, "write": write})
        return write

    return register


# ---- PyTorch itself --------------------------------------------------------------------------------------------------


@writer("torch.save(model.state_dict())", "plain.pth")
def _(path):
    torch.save(net().state_dict(), path)


@writer("the same with _use_new_zipfile_serialization=False", "legacy.pth")
def _(path):
    torch.save(net().state_dict(), path, _use_new_zipfile_serialization=False)


for protocol in (2, 3, 4, 5):
    @writer(f"the same with pickle_protocol={protocol}, arguments beside it", f"protocol{protocol}.pth")
    def _(path, protocol=protocol):
        torch.save({"state_dict": net().state_dict(), "args": arguments()}, path, pickle_protocol=protocol)


@writer("torch.save of state dict, optimizer, scheduler, epoch", "checkpoint.pth")
def _(path):
    model = net()
    optimizer = optimizer_of(model)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)
    torch.save({"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "epoch": 3,
                "scheduler": scheduler.state_dict(), "rng": torch.get_rng_state(), "best": float("inf")}, path)


@writer("torch.save with argparse's arguments and a whole scheduler", "arguments.pth")
def _(path):
    model = net()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer_of(model), 10)
    torch.save({"state_dict": model.state_dict(), "args": arguments(), "scheduler": scheduler,
                "collate": functools.partial(sorted, reverse=True)}, path)


@writer("torch.save(model)", "whole.pth", refused="holds a whole pickled module, '__main__.Net'")
def _(path):
    torch.save(net(), path)


@writer("torch.save of a dict with the model whole", "whole_inside.pth",
        refused="'model' is '__main__.Net' (a whole module)")
def _(path):
    torch.save({"model": net(), "epoch": 3}, path)


@writer("torch.compile", "compiled.pth", prefix="_orig_mod.")
def _(path):
    torch.save(torch.compile(net()).state_dict(), path)


@writer("DataParallel", "data_parallel.pth")
def _(path):
    torch.save(torch.nn.DataParallel(net()).state_dict(), path)


@functools.cache
def process_group():
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0", RANK="0", WORLD_SIZE="1")
    torch.distributed.init_process_group("gloo", init_method=f"file://{OUT / 'rendezvous'}", rank=0, world_size=1)


@writer("DistributedDataParallel (Gloo, one process)", "ddp.pth")
def _(path):
    process_group()
    torch.save(torch.nn.parallel.DistributedDataParallel(net()).state_dict(), path)


@writer("FSDP, full state (fully_shard, one process)", "fsdp.pth")
def _(path):
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    process_group()
    model = fully_shard(net(), mesh=init_device_mesh("cpu", (1,)))
    torch.save(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)), path)


@writer("FSDP, sharded state: DTensors", "dtensor.pth", refused="which is not read")
def _(path):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    process_group()
    torch.save(fully_shard(net(), mesh=init_device_mesh("cpu", (1,))).state_dict(), path)


@writer("torch.distributed.checkpoint.save: a folder", "dcp", refused="but a checkpoint of torch.distributed.checkpoint")
def _(path):
    torch.distributed.checkpoint.save(net().state_dict(), checkpoint_id=path, no_dist=True)


@writer("that folder after dcp_to_torch", "dcp_to_torch.pth")
def _(path):
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    folder = path.with_name("dcp_in")
    torch.distributed.checkpoint.save({"model": net().state_dict()}, checkpoint_id=folder, no_dist=True)
    dcp_to_torch_save(folder, path)


@writer("AveragedModel", "averaged.pth")
def _(path):
    torch.save(torch.optim.swa_utils.AveragedModel(net()).state_dict(), path)


@writer("torch.jit.script", "scripted.pt")
def _(path):
    torch.jit.script(net()).save(path)


@writer("torch.jit.trace", "traced.pt")
def _(path):
    torch.jit.trace(net().eval(), torch.ones(1, 1, 4, 4)).save(path)


@writer("torch.jit.freeze", "frozen.pt", refused="is a TorchScript program without parameters or buffers")
def _(path):
    torch.jit.freeze(torch.jit.script(net().eval())).save(path)


@writer("torch.export.save", "exported.pt2", refused="torch.export did (.pt2)")
def _(path):
    torch.export.save(torch.export.export(net().eval(), (torch.ones(1, 1, 4, 4),)), path)


@writer("a quantised layer beside others, .partial", "quantised.pth", partial=True, tensors=6)
def _(path):
    state = net().state_dict()
    for name in ("fc.weight", "fc.bias"):
        state[name] = torch.quantize_per_tensor(state[name], 0.5, 0, torch.qint8)
    torch.save(state, path)


@writer("pickle.dump(state_dict)", "pickled.pkl", refused="is a Python pickle, but torch.save did not write it")
def _(path):
    path.write_bytes(pickle.dumps(net().state_dict()))


for name, pack in {"gzip": gzip.compress, "bzip2": bz2.compress}.items():
    @writer(f"torch.save, packed by {name}", f"packed.{name}", refused=f"is compressed with {name}")
    def _(path, pack=pack):
        plain = path.with_suffix(".tmp")
        torch.save(net().state_dict(), plain)
        path.write_bytes(pack(plain.read_bytes()))


@writer("torch.save, in a tar archive", "packed.tar", refused="is a tar archive")
def _(path):
    plain = path.with_name("net.pth")
    torch.save(net().state_dict(), plain)
    with tarfile.open(path, "w") as tar:
        tar.add(plain, "net.pth")


@writer("numpy.savez", "arrays.npz", ["numpy"], refused="it holds NumPy arrays (.npz)")
def _(path):
    import numpy

    numpy.savez(path, **{name: tensor.numpy() for name, tensor in net().state_dict().items()})


# ---- torchvision's reference scripts, timm ---------------------------------------------------------------------------


def torchvision_checkpoint(path):
    """As references/classification/train.py of torchvision."""
    model = net()
    optimizer = optimizer_of(model, torch.optim.SGD)
    averaged = torch.optim.swa_utils.AveragedModel(model, avg_fn=lambda old, new, count: new)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "args": arguments(),
                "lr_scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10).state_dict(),
                "model_ema": averaged.state_dict(), "scaler": torch.amp.GradScaler("cpu").state_dict()}, path)


writer("torchvision's train.py", "torchvision.pth")(torchvision_checkpoint)
writer("torchvision's train.py, its averaged model", "torchvision_ema.pth", key="model_ema")(torchvision_checkpoint)


def timm_checkpoint(path):
    from formula import define_torchvision_operators

    if importlib.util.find_spec("torchvision"):
        define_torchvision_operators()
    from timm.utils import CheckpointSaver, ModelEmaV3

    model = net()
    model.pretrained_cfg = {}
    folder = path.with_suffix("")
    folder.mkdir()
    options = argparse.Namespace(**vars(arguments()), model="net")
    saver = CheckpointSaver(model, optimizer_of(model), args=options, model_ema=ModelEmaV3(model),
                            checkpoint_dir=str(folder), recovery_dir=str(folder))
    saver.save_checkpoint(3, metric=0.9)
    (folder / "last.pth.tar").replace(path)


writer("timm's CheckpointSaver", "timm.pth.tar", ["timm", "torchvision"])(timm_checkpoint)
writer("timm's CheckpointSaver, its average", "timm_ema.pth.tar", ["timm", "torchvision"],
       key="state_dict_ema")(timm_checkpoint)


# ---- fastai, Lightning -----------------------------------------------------------------------------------------------


def learner(folder):
    from fastai.basics import DataLoaders, Learner

    data = [(torch.zeros(1, 4, 4), torch.tensor(0))] * 2
    loaders = DataLoaders(torch.utils.data.DataLoader(data, 2), torch.utils.data.DataLoader(data, 2))
    return Learner(loaders, net(), loss_func=torch.nn.CrossEntropyLoss(), path=folder, model_dir=".", lr=0.0)


def stepped(learn):
    """With an optimizer that has state; a step at rate 0 leaves the weights as they are."""
    learn.create_opt()
    learn.opt.set_hypers(lr=0.0, wd=0.0)
    for parameter in learn.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    learn.opt.step()
    return learn


@writer("fastai's learn.save, with its optimizer", "fastai.pth", ["fastai"])
def _(path):
    stepped(learner(path.parent)).save(path.stem)


@writer("fastai's learn.save, with_opt=False", "fastai_alone.pth", ["fastai"])
def _(path):
    learner(path.parent).save(path.stem, with_opt=False)


@writer("fastai's SaveModelCallback", "fastai_best.pth", ["fastai"])
def _(path):
    from fastai.callback.tracker import SaveModelCallback

    learn = stepped(learner(path.parent))
    saving = SaveModelCallback(fname=path.stem, with_opt=True)
    learn.add_cb(saving)
    saving._save(path.stem)


@writer("fastai's learn.export", "fastai_export.pkl", ["fastai"], refused="holds no dict of named tensors")
def _(path):
    learn = learner(path.parent)
    learn.dls.new_empty = lambda: None  # PyTorch's own loaders, which this uses, have none
    learn.export(path)


def lightning_checkpoint(path, alone=False):
    import lightning

    class Task(lightning.LightningModule):
        def __init__(self, rate=0.0, out=pathlib.Path("runs")):
            super().__init__()
            self.save_hyperparameters()
            self.net = net()

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=0.0, weight_decay=0.0)

        def training_step(self, batch, _):
            return 0 * self.net.fc.weight.sum()

    data = torch.utils.data.DataLoader(torch.zeros(2, 1), 1)
    trainer = lightning.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                                enable_progress_bar=False, enable_model_summary=False, default_root_dir=path.parent)
    trainer.fit(Task(), data)
    trainer.save_checkpoint(path, weights_only=alone)


writer("Lightning's Trainer.save_checkpoint", "lightning.ckpt", ["lightning"], prefix="net.")(lightning_checkpoint)
writer("the same with weights_only=True", "lightning_weights.ckpt", ["lightning"],
       prefix="net.")(functools.partial(lightning_checkpoint, alone=True))


@writer("OmegaConf beside the state dict", "omegaconf.pth", ["omegaconf"])
def _(path):
    from omegaconf import OmegaConf

    torch.save({"state_dict": net().state_dict(), "config": OmegaConf.create({"lr": 0.1})}, path)


# ---- safetensors, transformers ---------------------------------------------------------------------------------------


@writer("safetensors.torch.save_file", "net.safetensors", ["safetensors"])
def _(path):
    import safetensors.torch

    safetensors.torch.save_file(net().state_dict(), path)


@writer("safetensors.torch.save_model", "model.safetensors", ["safetensors"])
def _(path):
    import safetensors.torch

    safetensors.torch.save_model(net(), str(path))


@writer("Hugging Face's shards with an index", "shards/model.safetensors.index.json", ["safetensors"])
def _(path):
    """As transformers' save_pretrained names and splits them."""
    import safetensors.torch

    path.parent.mkdir()
    state = list(net().state_dict().items())
    weight_map = {}
    for shard, part in enumerate((state[:3], state[3:]), 1):
        file = f"model-0000{shard}-of-00002.safetensors"
        safetensors.torch.save_file(dict(part), path.parent / file, metadata={"format": "pt"})
        weight_map.update({name: file for name, _ in part})
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))


def main():
    import torch.distributed.checkpoint  # noqa: F401

    OUT.mkdir(parents=True, exist_ok=True)
    listed = []
    for each in WRITERS:
        missing = [module for module in each["needs"] if importlib.util.find_spec(module) is None]
        entry = {"writer": each["writer"], "file": each["file"], **each["how"]}
        if missing:
            entry["missing"] = ", ".join(missing)
        else:
            each["write"](OUT / each["file"])
        listed.append(entry)
    (OUT / "writers.json").write_text(json.dumps(listed, indent=1))


if __name__ == "__main__":
    main()
