# SPDX-License-Identifier: BSD-3-Clause
"""Lightning's side of the whole job: one LightningModule, a Trainer per stage.

BackboneFinetuning(train_bn=False) would make frozen norms use each batch's statistics (it sets track_running_stats), and fails
with a one-cycle schedule when it thaws. So the body is frozen as Lightning's documentation has it, by requires_grad_ and
eval(), which Trainer.fit leaves in place. The schedule is PyTorch's OneCycleLR with fastai's numbers.
"""

import logging
import tempfile

import lightning
import torch
from lightning.pytorch.tuner import Tuner

import job as common


class Classifier(lightning.LightningModule):
    def __init__(self, network, steps):
        super().__init__()
        self.network, self.steps, self.lr = network, steps, common.TOP_LR
        self.rates = [common.BODY_LR, (common.BODY_LR * common.TOP_LR) ** 0.5, common.TOP_LR]
        self.frozen, self.one_cycle, self.loss = False, True, None

    def freeze_body(self, frozen):
        self.frozen = frozen
        self.network.train()
        for group in self.network[:-1]:
            group.requires_grad_(not frozen).train(not frozen)

    def training_step(self, batch, _):
        images, targets = batch
        loss = torch.nn.functional.cross_entropy(self.network(images), targets)
        self.loss = loss.detach()
        return loss

    def configure_optimizers(self):
        groups, rates = list(self.network), self.rates
        if self.frozen:
            groups, rates = groups[-1:], [common.HEAD_LR]
        if not self.one_cycle:  # the finder: Tuner sets one rate in all groups
            rates = [self.lr] * len(groups)
        optimizer = torch.optim.AdamW([dict(params=g.parameters(), lr=r) for g, r in zip(groups, rates)], **common.ADAMW)
        if not self.one_cycle:
            return optimizer
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rates, total_steps=self.steps + 1, pct_start=0.25, div_factor=25, final_div_factor=4e3
        )
        return dict(optimizer=optimizer, lr_scheduler=dict(scheduler=schedule, interval="step"))


def stages(job, data, network):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    loader = torch.utils.data.DataLoader(data, job.batch, shuffle=True)
    module = Classifier(network, 0)
    folder = tempfile.TemporaryDirectory()  # the tuner puts the network aside in a file

    def trainer(epochs):
        return lightning.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder.name,
        )

    def fit(epochs):
        module.steps = epochs * len(loader)
        trainer(epochs).fit(module, loader)
        return float(module.loss)

    def head():
        module.freeze_body(True)
        return fit(job.head_epochs)

    def finder():
        module.freeze_body(False)
        module.one_cycle = False
        found = Tuner(trainer(-1)).lr_find(
            module,
            loader,
            min_lr=common.FINDER_START,
            max_lr=common.FINDER_END,
            num_training=job.finder_steps,
            early_stop_threshold=None,
            update_attr=False,
        )
        module.one_cycle = True
        return float(found.results["loss"][-1])

    def thawed():
        return fit(job.thawed_epochs)

    return {"head": head, "finder": finder, "thawed": thawed}


if __name__ == "__main__":
    common.run(stages)
