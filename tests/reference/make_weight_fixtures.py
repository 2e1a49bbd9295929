# SPDX-License-Identifier: BSD-3-Clause
"""Writes tests/fixtures/weights: tiny weight files by the real PyTorch, and in expected.json what they hold; and
tests/fuzz/seeds: their pickles, and headers, with which fuzzing begins.

    python3 tests/reference/make_weight_fixtures.py
"""

import argparse
import collections
import copy
import datetime
import decimal
import enum
import functools
import io
import json
import os
import pathlib
import pickle
import tarfile
import zipfile

import numpy
import safetensors.torch
import torch
from weight_net import Net, net, numbers  # noqa: F401  pickles name the class in this program

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "weights"
SEEDS = OUT.parent.parent / "fuzz" / "seeds"


INTEGERS = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64]
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
FLOAT8 = [torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz]


def dtypes():
    state = {}
    for dtype in INTEGERS:
        low = -3 if dtype.is_signed else 2
        state[str(dtype)] = torch.arange(low, low + 5).to(dtype)
    for dtype in FLOATS + FLOAT8:
        state[str(dtype)] = torch.tensor([-1.5, 0.0, 0.25, 3.0, float("inf")][: 4 if dtype in FLOAT8 else 5]).to(dtype)
    for dtype in (torch.complex64, torch.complex128):
        state[str(dtype)] = torch.tensor([1 + 2j, -0.5j], dtype=dtype)
    state["torch.bool"] = torch.tensor([True, False, True])
    return state


def views():
    base = numbers(4, 6)
    return {
        "base": base,
        "transposed": base.t(),
        "slice": base[1:3, 2:5],
        "every_other": base[:, ::2],
        "row": base[3],
        "expanded": numbers(3).unsqueeze(0).expand(2, 3),
    }


def shapes():
    return {
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0),
        "empty_matrix": torch.empty(3, 0, 2),
        "parameter": torch.nn.Parameter(numbers(2, 2)),
        "frozen": torch.nn.Parameter(numbers(2), requires_grad=False),
        "five": numbers(1, 2, 1, 2, 1),
    }


def attributed():
    """Tensors with attributes of their own, which Python saves in other ways."""
    state = {"tensor": numbers(3), "parameter": torch.nn.Parameter(numbers(2))}
    for tensor in state.values():
        tensor.note = "kept by Python"
    return state


def view_of_storage():
    """What PyTorch wrote for storages that were views of others: here elements 1 to 4 of six."""
    stream = io.BytesIO()
    torch.save({"a": torch.as_strided(numbers(6), (4,), (1,))}, stream, _use_new_zipfile_serialization=False)
    whole, part = b"K\x06Nt", b"K\x06(X\x01\x00\x00\x00vK\x01K\x04tt"
    assert stream.getvalue().count(whole) == 1
    return stream.getvalue().replace(whole, part)


def checkpoint(**more):
    optimizer = torch.optim.Adam([torch.nn.Parameter(numbers(2))])
    optimizer.param_groups[0]["params"][0].grad = numbers(2)
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2])
    return {"epoch": 3, "best": 91.5, "big": 1 << 70, "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(), "size": torch.Size([1, 2]), "dtype": torch.float16, **more}


GOOD = {
    "ordered_dict": collections.OrderedDict(b=numbers(2, 3), a=numbers(3) + 1),
    "plain_dict": {"z": numbers(2), "y": numbers(3), "epoch": 4, "none": None, "tags": ["a", {"b": (1, 2.5, True)}]},
    "net": net().state_dict(),
    "nested_state_dict": checkpoint(state_dict=net().state_dict()),
    "nested_model": {"model": {"a": numbers(2)}, "loss": torch.tensor(0.5)},
    "nested_net": {"net": {"module.a": numbers(2), "module.b": numbers(1)}},
    "module_prefix": {"module.a": numbers(2), "module.b.c": numbers(3)},
    "module_prefix_of_some": {"module.a": numbers(2), "b": numbers(3)},
    "dtypes": dtypes(),
    "views": views(),
    "shapes": shapes(),
    "attributed": attributed(),
}


class Colour(enum.Enum):
    red = 1


class Attributes(dict):
    """As Lightning's AttributeDict."""


class Items(list):
    """A list of a class of its own."""


class Unique(set):
    """A set of a class of its own."""


class Slots:
    """Its state is a tuple: (None, {"name": value})."""

    __slots__ = ("size",)

    def __init__(self):
        self.size = 3


class Keywords(tuple):
    """Made anew with named arguments: NEWOBJ_EX."""

    def __getnewargs_ex__(self):
        return (), {"colour": 1}


class Outer:
    class Inner:
        pass


Point = collections.namedtuple("Point", "x y")


def company():
    """A checkpoint as people's programs write it: tensors, and any of Python's objects beside them."""
    return {
        "state_dict": collections.OrderedDict(a=numbers(2, 3), b=numbers(3) + 1),
        "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("runs/a"), hidden=numbers(5), more={"x": Slots()}),
        "attributes": Attributes(lr=0.1, colour=Colour.red),
        "items": Items([1, numbers(2), Slots()]),
        "unique": Unique([1, 2]),
        "slots": Slots(),
        "keywords": Keywords(),
        "inner": Outer.Inner(),
        "point": Point(1, 2),
        "nested": [{"deep": (Colour.red, 1)}],
        "best": numpy.float64(0.5),
        "array": numpy.arange(3),
        "colour": Colour.red,
        "path": pathlib.PurePosixPath("/data"),
        "when": datetime.datetime(2024, 5, 6),
        "partial": functools.partial(int, base=2),
        "default": collections.defaultdict(list, k=[1]),
        "counter": collections.Counter("aab"),
        "price": decimal.Decimal("1.5"),
        "range": range(3),
        "set": {1, 2},
        "frozen": frozenset({3}),
        "complex": 1j,
        "bytes": b"\x00\xff",
        "array_of_bytes": bytearray(b"\x00\xff"),
        "big": 1 << 3000,
        "negative": -(1 << 80),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "size": torch.Size([1, 2]),
        "function": len,
        "epoch": 3,
    }


def value_list(tensor):
    tensor = tensor.detach()
    if tensor.is_complex():
        return torch.view_as_real(tensor).double().flatten().tolist()
    return [str(v) if v in (float("inf"), float("-inf")) else float(v) for v in tensor.double().flatten().tolist()]


def described(state):
    return [{"name": name, "dtype": str(tensor.dtype), "shape": list(tensor.shape), "values": value_list(tensor)}
            for name, tensor in state.items() if isinstance(tensor, torch.Tensor)]


def state_of(content):
    for key in ("state_dict", "model", "net"):
        content = content[key] if isinstance(content.get(key), dict) else content
    if all(name.startswith("module.") for name in content):
        content = {name[len("module."):]: tensor for name, tensor in content.items()}
    return content


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/thaw_was_fooled",)


def edit_zip(path, record=None, content=None, compression=zipfile.ZIP_STORED):
    """The same archive with one record replaced, or packed otherwise."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, old in records.items():
            new = content if name.split("/", 1)[1] == record else old
            archive.writestr(zipfile.ZipInfo(name), new, compress_type=compression)


def overlap(path, count):
    """`count` storages, all of them the same bytes of the file."""
    torch.save({f"t{i}": numbers(1024) for i in range(count)}, path)
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    data = [name for name in records if "/data/" in name]
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(records.keys() - set(data[1:])):
            archive.writestr(zipfile.ZipInfo(name), records[name])
        for name in data[1:]:
            twin = copy.copy(archive.getinfo(data[0]))
            twin.filename = twin.orig_filename = name
            archive.filelist.append(twin)


def write_company():
    """Tensors in company; expected.json says what is passed over, and where."""
    save = lambda content, name, **options: torch.save(content, OUT / name, **options)
    legacy = {"_use_new_zipfile_serialization": False}
    for protocol in (2, 3, 4, 5):
        save(company(), f"company{protocol}.pth", pickle_protocol=protocol)
        save(company(), f"company{protocol}.legacy.pth", pickle_protocol=protocol, **legacy)

    save({"state_dict": {"a": numbers(2), "x": numbers(1), "s": numbers(2).to_sparse(), "m": torch.empty(2, device="meta"),
          "q": torch.quantize_per_tensor(numbers(2), 0.5, 0, torch.qint8)}}, "beside.pth")
    save({"a": numbers(2), "q": torch.quantize_per_tensor(numbers(2), 0.5, 0, torch.qint8)}, "beside.legacy.pth", **legacy)
    for suffix, options in (("pth", {}), ("legacy.pth", legacy)):
        save(net(), f"whole.{suffix}", **options)
    save({"model": net(), "optimizer": {"momentum": numbers(2)}}, "whole_under_key.pth")
    save({0: numbers(2), 1: numbers(1)}, "numbers.pth")
    save({(1, 2): numbers(2)}, "tuple_name.pth")
    save(({"a": numbers(2)}, 3), "tuple.pth")
    save([{"a": numbers(2)}, {"b": numbers(2)}], "list_of_dicts.pth")
    save(numbers(2), "one_tensor.pth")
    twice = {"a": numbers(2)}
    save({"model": twice, "ema": twice, "inner": {"teacher": twice}}, "same_twice.pth")
    save(torch.optim.swa_utils.AveragedModel(net()).state_dict(), "averaged.pth")
    save({"model": net().state_dict(), "model_ema": torch.optim.swa_utils.AveragedModel(net()).state_dict()},
         "model_ema.pth")
    torch.jit.freeze(torch.jit.script(net().eval())).save(OUT / "frozen.pt")


def write_seeds():
    """Of the pickles in zip files, which a reader of pickles alone would never find; and what Python 3 does not write."""
    SEEDS.mkdir(parents=True, exist_ok=True)
    for old in SEEDS.iterdir():
        old.unlink()
    for name in ("company2", "company4", "company5", "beside", "whole", "same_twice", "tuple", "frozen"):
        path = next(OUT / f"{name}.{suffix}" for suffix in ("pth", "pt") if (OUT / f"{name}.{suffix}").exists())
        with zipfile.ZipFile(path) as archive:
            record = next(each for each in archive.namelist() if each.endswith("/data.pkl"))
            (SEEDS / f"{name}.pkl").write_bytes(archive.read(record))
    point = b"cgeometry\nPoint\n"
    for name, program in {"inst": b"(K\x01igeometry\nPoint\n.", "obj": b"(" + point + b"K\x01o.", "ext": b"\x82\x01.",
                          "newobj_ex": point + b")}\x92.", "state": point + b")\x81N}\x86b.", "dup": b"]K\x0120a.",
                          "items": point + b")\x81K\x01a(K\x02e(K\x01K\x02u.", "buffer": b"\x97\x98.",
                          "copyreg": b"ccopyreg\n_reconstructor\n(" + point + b"NNtR.",
                          "getattr": b"cbuiltins\ngetattr\n(" + point + b"U\x05InnertR)R.",
                          "module": point + b")\x81}U\x0b_parameters}sb.", "frozenset": b"(K\x01\x91.",
                          "typed": b"ctorch.jit._pickle\nrestore_type_tag\n(}U\x04DicttR."}.items():
        (SEEDS / f"{name}.pkl").write_bytes(b"\x80\x04" + program)
    for name, begin in {"bz2": b"BZh91AY&SY", "xz": b"\xfd7zXZ\0", "onnx": b"\x08\x08\x12\x07pytorch\x1a\x05",
                        "lfs": b"version https://git-lfs.github.com/spec/v1\n"}.items():
        (SEEDS / f"other.{name}").write_bytes(begin)
    for name, header in {"nested": '{"a":{"x":{"y":[[1,-2.5],null,true]},"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
                         "twice": '{"__metadata__":{"a":"1"},"a":{"dtype":"U8","dtype":"U8"}}',
                         "index": '{"metadata":{"total_size":1},"weight_map":{"a":"model-1.safetensors"}}'}.items():
        begin, end = (b"", b"") if name == "index" else (len(header).to_bytes(8, "little"), b"\0")
        (SEEDS / f"{name}.json").write_bytes(begin + header.encode() + end)


def write_bad():
    save = lambda content, name, **options: torch.save(content, OUT / name, **options)
    legacy = {"_use_new_zipfile_serialization": False}
    for suffix, options in (("pth", {}), ("legacy.pth", legacy)):
        save({"a": numbers(2), "x": Evil()}, f"evil.{suffix}", **options)
        save({"a": numbers(2), "args": argparse.Namespace(lr=1)}, f"namespace.{suffix}", **options)
    save({"a": numbers(2), "best": numpy.float64(0.5)}, "numpy_scalar.pth")
    save({"a": torch.quantize_per_tensor(numbers(2), 0.5, 0, torch.qint8)}, "quantized.pth")
    save({"a": numbers(2).to_sparse()}, "sparse.pth")
    save([numbers(2)], "list.pth")
    save({"encoder": {"a": numbers(2)}, "decoder": {"b": numbers(3)}}, "two_dicts.pth")
    save({"model": {"a": numbers(2)}, "ema": {"shadow": {"a": numbers(2) + 1}}}, "model_and_ema.pth")
    save({"model": {"a": numbers(2)}, "net": {"a": numbers(2)}}, "model_and_net.pth")
    overlap(OUT / "overlap.pth", 32)
    torch.jit.script(torch.nn.Linear(2, 1)).save(OUT / "torchscript.pt")

    save({"a": numbers(2)}, "big_endian.pth")
    edit_zip(OUT / "big_endian.pth", "byteorder", b"big")
    save({"a": numbers(2)}, "compressed.pth")
    edit_zip(OUT / "compressed.pth", compression=zipfile.ZIP_DEFLATED)
    stream = io.BytesIO()
    torch.save({"a": numbers(2)}, stream, **legacy)
    little = b"X\x0d\x00\x00\x00little_endianq\x02\x88"
    assert stream.getvalue().count(little) == 1
    (OUT / "big_endian.legacy.pth").write_bytes(stream.getvalue().replace(little, little[:-1] + b"\x89"))

    numpy.savez(OUT / "numpy.npz", a=numpy.zeros(2))
    (OUT / "plain.pkl").write_bytes(pickle.dumps({"a": [1.0]}, protocol=2))
    with tarfile.open(OUT / "ancient.pth", "w:", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    torch.manual_seed(0)
    expected = {}
    for name, content in GOOD.items():
        for suffix, zipped in (("pth", True), ("legacy.pth", False)):
            path = OUT / f"{name}.{suffix}"
            torch.save(content, path, _use_new_zipfile_serialization=zipped)
            # Not from torch.load: it cannot read the legacy files that it writes for the newer types.
            expected[path.name] = described(state_of(content))
    for protocol in (3, 4, 5):
        path = OUT / f"protocol{protocol}.pth"
        torch.save(GOOD["ordered_dict"], path, pickle_protocol=protocol, _use_new_zipfile_serialization=protocol != 3)
        expected[path.name] = described(GOOD["ordered_dict"])

    (OUT / "view.legacy.pth").write_bytes(view_of_storage())
    expected["view.legacy.pth"] = described({"a": numbers(6)[1:5]})

    safe = {name: tensor for name, tensor in {**dtypes(), **shapes()}.items() if not name.endswith("fnuz")}
    safe = {name: tensor for name, tensor in safe.items() if tensor.dtype != torch.complex128}
    safetensors.torch.save_file(safe, OUT / "all.safetensors", metadata={"format": "pt"})
    expected["all.safetensors"] = described(safetensors.torch.load_file(OUT / "all.safetensors"))
    safetensors.torch.save_file({f"module.{k}": v for k, v in net().state_dict().items()}, OUT / "net.safetensors")

    write_company()
    write_seeds()
    write_bad()
    text = json.dumps(expected, separators=(",", ":")).replace("]},", "]},\n")
    (OUT / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
