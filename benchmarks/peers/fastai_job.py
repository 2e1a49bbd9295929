# SPDX-License-Identifier: BSD-3-Clause
"""fastai's side of the whole job. fastai.vision is left out, and so torchvision: that spares fastai their memory.

train_bn=False leaves norm layers of frozen groups without gradients, yet in training mode; BnFreeze, fastai's own
callback, holds their statistics too. fastai's data loader, Adam (which is AdamW: its decay is decoupled, and spares norms and
biases) and schedules are its defaults.
"""

import tempfile
from functools import partial

from fastai.basics import Adam, CrossEntropyLossFlat, DataLoader, DataLoaders, Learner, params
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import lr_find  # noqa: F401: adds fit_one_cycle and lr_find to Learner
from fastai.callback.training import BnFreeze

import job as common


def stages(job, data, network):
    loaders = DataLoaders(DataLoader(data, bs=job.batch, shuffle=True), DataLoader(data, bs=job.batch).new([]))
    folder = tempfile.TemporaryDirectory()  # lr_find puts the network aside in a file
    learner = Learner(
        loaders,
        network,
        loss_func=CrossEntropyLossFlat(),
        opt_func=partial(Adam, mom=0.9, sqr_mom=0.99, eps=1e-5, wd=0.01),
        splitter=lambda net: [params(group) for group in net],
        train_bn=False,
        cbs=BnFreeze,
        path=folder.name,
    )
    learner.remove_cb(ProgressCallback)
    learner.logger = lambda *_: None

    def fit(epochs, lr):
        learner.fit_one_cycle(epochs, lr)
        return learner.recorder.values[-1][0]

    def head():
        learner.freeze()
        return fit(job.head_epochs, common.HEAD_LR)

    def finder():
        learner.unfreeze()
        rates = common.FINDER_START, common.FINDER_END
        learner.lr_find(*rates, num_it=job.finder_steps, stop_div=False, show_plot=False)
        return float(learner.recorder.losses[-1])

    def thawed():
        return fit(job.thawed_epochs, slice(common.BODY_LR, common.TOP_LR))

    learner.keep = folder
    return {"head": head, "finder": finder, "thawed": thawed}


if __name__ == "__main__":
    common.run(stages)
