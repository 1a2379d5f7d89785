"""Networks as other people write them, no trees of ours; and what tests of surgery share."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def images(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype)


def assert_same_state(model, before):
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def state_of(model):
    return copy.deepcopy(model.state_dict())


def without_inputs(model, successor, keep, units):
    """The oracle: the successor's weights on the removed units are zero, nothing else changes."""
    model = copy.deepcopy(model)
    weight = model.get_submodule(successor).weight.data
    # (out, units * H * W, ...) -> (out, units, H * W, ...), a view
    weight = weight.unflatten(1, (units, -1))
    removed = np.setdiff1d(np.arange(units), keep)
    weight[:, removed] = 0
    return model


def randomised(model, dtype=torch.float64):
    """A copy in eval mode with pinned weights, and batch norms far from the identity."""
    model = copy.deepcopy(model).to(dtype).eval()
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if type(module) in (nn.Linear, nn.Conv2d):
            each = module.weight[0].numel() ** -0.5
            for parameter in module.parameters():
                parameter.data.uniform_(-2 * each, 2 * each, generator=generator)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            if module.affine:
                sign = torch.randn(module.num_features, generator=generator).sign()
                module.weight.data.uniform_(0.5, 1.5, generator=generator).mul_(sign)
                module.bias.data.normal_(generator=generator)
            if module.track_running_stats:
                module.running_mean.normal_(generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
    return model


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut, the sum and the ReLUs as functions (He et al. 2016)."""

    def __init__(self, before, after, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != after:
            conv = nn.Conv2d(before, after, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(after))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return out.relu_()


class ResNet(nn.Module):
    """A stem, two blocks of one width and one of another; ``fc`` after pooling by a function."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 4))
        self.layer2 = nn.Sequential(BasicBlock(4, 6, stride=2))
        self.fc = nn.Linear(6 * 9, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = self.layer2(self.layer1(x))
        x = F.adaptive_avg_pool2d(x, (3, 3))
        return self.fc(x.view(x.size(0), -1))


class SqueezeExcitation(nn.Module):
    """Channels multiplied by numbers between 0 and 1 that their means decide (Hu et al. 2018)."""

    def __init__(self, channels, squeezed):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        scale = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(scale))))


class MobileNet(nn.Module):
    """A stem and an inverted residual: expansion, depthwise convolution, squeeze, projection."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.expand = nn.Conv2d(4, 8, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.squeeze = SqueezeExcitation(8, 4)
        self.project = nn.Conv2d(8, 4, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(4)
        self.classifier = nn.Linear(4, 3)

    def forward(self, x):
        x = F.hardswish(self.stem(x))
        y = F.relu6(self.norm1(self.expand(x)))
        y = self.squeeze(F.hardswish(self.norm2(self.depthwise(y))))
        x = torch.add(self.norm3(self.project(y)), x)
        return self.classifier(x.mean([2, 3]))


class ConcatNet(nn.Module):
    """Two branches whose channels stand beside one another (Huang et al. 2017)."""

    def __init__(self):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(1)
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.norm3 = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        x = self.conv1(self.norm1(x))
        y = self.conv2(F.relu(self.norm2(x)))
        z = F.relu(self.norm3(torch.cat([x, y], 1)))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(z, 1), 1))


class Gated(nn.Module):
    """A forward that asks for the values of a tensor: torch.fx cannot trace it."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x) if x.abs().sum() > 0 else x
