"""What a call in a traced graph does, be it a module's, a function's or a method's."""

from torch import fx, nn

from uecompress.networks.kinds import KINDS, Kind, kind_of

# Functions and methods of tensors that are modules too.
_FUNCTIONS = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "dropout": nn.Dropout,
    "dropout2d": nn.Dropout2d,
    "max_pool2d": nn.MaxPool2d,
    "avg_pool2d": nn.AvgPool2d,
    "adaptive_max_pool2d": nn.AdaptiveMaxPool2d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
    "contiguous": nn.Identity,
}


def operation(node):
    """The name of the function that a node calls: "add" for ``+``, ``+=``, torch.add, x.add_(y).

    None for a node that calls no function of torch or Python.
    """
    if node.op == "call_method":
        return node.target.rstrip("_")
    if node.op != "call_function":
        return None
    home = (getattr(node.target, "__module__", None) or "torch").partition(".")[0]
    if home not in ("torch", "_operator", "builtins"):
        return None
    name = node.target.__name__.rstrip("_")
    return {"iadd": "add", "imul": "mul"}.get(name, name)


def kind(model, node):
    """The row of the table of kinds for what a node calls, as for a module."""
    if node.op == "call_module":
        return kind_of(model.get_submodule(node.target))
    if operation(node) in _FUNCTIONS and len(node.all_input_nodes) == 1:
        return KINDS[_FUNCTIONS[operation(node)]]
    if _averages(node) and node.kwargs.get("keepdim"):
        return KINDS[nn.AdaptiveAvgPool2d]
    return Kind()


def combines(node):
    """Whether it adds or multiplies tensors, or a tensor and a number, entry by entry."""
    return operation(node) in ("add", "sub", "mul")


def flattens(model, node):
    """Whether it makes (N, units * H * W) of (N, units, H, W), a unit's entries side by side."""
    if node.op == "call_module":
        step = model.get_submodule(node.target)
        return type(step) is nn.Flatten and (step.start_dim, step.end_dim) == (1, -1)
    if operation(node) == "flatten":
        given = dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False)) | node.kwargs
        return {"end_dim": -1, **given} == {"start_dim": 1, "end_dim": -1}
    if operation(node) in ("view", "reshape"):
        shape = node.args[1:] if len(node.args) > 2 else node.args[-1]
        return (
            isinstance(shape, tuple | list)
            and len(shape) == 2
            and isinstance(shape[0], fx.Node)
            and asks_for_batch(shape[0])
            and shape[1] == -1
        )
    return False


def averages_images(node):
    """Whether it makes (N, units) of (N, units, H, W), by the mean over each image."""
    return _averages(node) and not node.kwargs.get("keepdim")


def asks_for_batch(node):
    """Whether it asks for the number of examples, axes or a type, and for no other size."""
    if operation(node) in ("size", "dim"):
        return operation(node) == "dim" or node.args[1:] == (0,)
    if operation(node) == "getitem":
        return operation(node.args[0]) == "getattr" and node.args[1] == 0
    if operation(node) == "getattr":
        shape = node.args[1] == "shape" and all(map(asks_for_batch, node.users))
        return shape or node.args[1] in ("dtype", "device", "ndim")
    return False


def _averages(node):
    dims = node.args[1] if len(node.args) == 2 else node.kwargs.get("dim")
    return (
        operation(node) == "mean"
        and isinstance(dims, tuple | list)
        and sorted(dims) in ([2, 3], [-2, -1])
    )
