"""M networks of one shape computed as one: M small matrix products become one batched product."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from uecompress.networks import Residual, for_members, replace_layers
from uecompress.networks.kinds import kind_of
from uecompress.networks.tree import is_plain

CONTAINERS = (nn.Sequential, Residual)


def stackable(models, x):
    """Whether these networks can be stacked for inputs like ``x``.

    They can if they consist of Linear, BatchNorm1d, Flatten, Dropout and activations in
    ``nn.Sequential`` and ``Residual``, share no weights, have no hooks, and differ only in their
    numbers. Inputs of more than two dimensions have to be flattened first.
    """
    first = [module for module in models[0].modules() if type(module) not in CONTAINERS][:1]
    flat = x.ndim == 2 or any(isinstance(module, nn.Flatten) for module in first)
    if not flat or not all(map(_can_be_stacked, models)):
        return False
    described = _description(models[0])
    return all(_description(model) == described for model in models[1:])


def _can_be_stacked(model):
    """Whether a network is made of modules that can be stacked, with no weight used twice."""
    named = list(model.named_parameters(remove_duplicate=False))
    unshared = len(named) == len(list(model.parameters())) > 0
    return unshared and all(_known(module) and not _hooked(module) for module in model.modules())


def _known(module):
    """Whether :class:`Stacked` knows what this module does."""
    if type(module) is nn.Flatten:
        return (module.start_dim, module.end_dim) == (1, -1)
    if is_plain(module, nn.BatchNorm1d):
        return module.affine and module.track_running_stats and module.momentum is not None
    return is_plain(module, nn.Linear) or _same_for_all(module)


def _hooked(module):
    """Whether a call of the module does more than its class says."""
    hooks = (module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks,
             module._backward_hooks)  # fmt: skip
    return any(hooks) or "forward" in vars(module)


def _same_for_all(module):
    """Whether it does to (M, N, ...) what it does to (N, ...), or is a container of such."""
    return type(module) in CONTAINERS or kind_of(module).entrywise


def _description(model):
    """What networks that are to be stacked have in common: all but the values of their tensors.

    Of each module its name, class and settings, the attributes in which torch keeps the arguments
    of a constructor; of each tensor its name, shape, type, device, and whether it is trained.
    """
    modules = [
        (name, type(module), {k: v for k, v in vars(module).items() if k[0] != "_"})
        for name, module in model.named_modules(remove_duplicate=False)
    ]
    for _, _, settings in modules:
        settings.pop("training")  # the mode is not part of a network
    tensors = [
        (name, tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad)
        for name, tensor in model.state_dict(keep_vars=True).items()
    ]
    return modules, tensors


class Stacked(nn.Module):
    """M equally built networks as one: every tensor of ``layers`` has a leading axis of members.

    Its forward takes one batch (N, ...) for all members, or one of images for each, to logits
    (M, N, C), as :class:`networks.Ensemble <uecompress.networks.Ensemble>` does; ``layers`` itself
    takes a batch for each, (M, N, ...).

    Args:
        models: M networks that are :func:`stackable`; their weights are copied.
    """

    def __init__(self, models):
        super().__init__()
        self.count = len(models)

        def stack(name, layer):
            if type(layer) is nn.Flatten:
                return nn.Flatten(2)
            if _same_for_all(layer):  # an empty nn.Sequential is a leaf
                return None
            kind = _StackedLinear if type(layer) is nn.Linear else _StackedBatchNorm1d
            return kind([model.get_submodule(name) for model in models])

        self.layers = replace_layers(models[0], stack)

    def forward(self, x):
        """Logits (M, N, C) for ``x`` of shape (N, ...) or (M, N, ch, h, w)."""
        return self.layers(for_members(x, self.count))

    def members(self, models):
        """Copies of ``models`` that carry the weights and statistics of the members."""
        models = [copy.deepcopy(model) for model in models]
        for m, model in enumerate(models):
            model.load_state_dict({name: t[m] for name, t in self.layers.state_dict().items()})
        return models


class _StackedLinear(nn.Module):
    """M ``nn.Linear`` side by side, (M, N, in) to (M, N, out), as one batched matrix product.

    It computes the transpose, W xᵀ + b. The result lies in memory features first, as batch
    normalization and the next product want it.
    """

    def __init__(self, layers):
        super().__init__()
        _stack_tensors(self, layers)

    def forward(self, x):
        """``x @ weight.mT + bias`` for every member."""
        if self.bias is None:
            return (self.weight @ x.mT).mT
        return torch.baddbmm(self.bias[..., None], self.weight, x.mT).mT  # (M, out, N) -> .mT


class _StackedBatchNorm1d(nn.Module):
    """M ``nn.BatchNorm1d`` of F features as one of M·F, each with its own statistics."""

    def __init__(self, layers):
        super().__init__()
        _stack_tensors(self, layers)
        self.momentum, self.eps = layers[0].momentum, layers[0].eps

    def forward(self, x):
        """Normalizes each feature of each member over its N examples; (M, N, F) stays."""
        if self.training:
            self.num_batches_tracked += 1
        rows = x.mT.reshape(1, -1, x.shape[1])  # (M, N, F) -> (1, M·F, N)
        y = F.batch_norm(
            rows,
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.view(-1),
            self.bias.view(-1),
            self.training,
            self.momentum,
            self.eps,
        )
        return y.view(x.mT.shape).mT


def _stack_tensors(module, layers):
    """Give ``module`` the parameters and buffers of ``layers``, stacked, under their names."""
    for name, first in layers[0]._parameters.items():
        if first is None:
            module.register_parameter(name, None)
            continue
        tensors = torch.stack([getattr(layer, name).detach() for layer in layers])
        module.register_parameter(name, nn.Parameter(tensors, first.requires_grad))
    for name in layers[0]._buffers:
        module.register_buffer(name, torch.stack([getattr(layer, name) for layer in layers]))
