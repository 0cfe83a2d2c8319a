"""What networks minimise."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from converters.distill.training import Batch, Loss


def label_loss(batch: Batch, given: torch.Tensor) -> torch.Tensor:
    """Return the mean cross entropy with the labels, of blended items by their shares.

    Zhang et al. 2017 (arXiv:1710.09412), section 2, whose loss is linear in the blended labels. Items
    without a label add nothing.
    """
    own = F.cross_entropy(given, batch.labels, ignore_index=-1, reduction="none")
    other = F.cross_entropy(given, batch.partners, ignore_index=-1, reduction="none")
    return (batch.shares * own + (1 - batch.shares) * other).mean()


def distillation_loss(answers: torch.Tensor, temperature: float, weight: float) -> Loss:
    """Return the loss of Hinton et al. 2015 (arXiv:1503.02531, section 2).

    `weight * T^2 * KL(softmax(teacher / T) || softmax(student / T)) + (1 - weight) * CE(student, labels)`,
    the mean over the batch; `T^2` keeps the gradient of the first term at the size of the second's.

    Args:
        answers: `(views, N, classes) float32` logits of the teacher, by view and place within it.
        temperature: T, above 0.
        weight: Of the teacher's answers, 0..1.
    """

    def loss(batch: Batch, given: torch.Tensor) -> torch.Tensor:
        own = answers[batch.view, batch.places.to(answers.device)].to(given.device)
        wanted = F.log_softmax(own / temperature, dim=1)
        soft = F.log_softmax(given / temperature, dim=1)
        divergence = F.kl_div(soft, wanted, reduction="batchmean", log_target=True)
        return weight * temperature**2 * divergence + (1 - weight) * label_loss(batch, given)

    return loss
