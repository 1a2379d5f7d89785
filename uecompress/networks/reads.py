"""What a module reads from the modules inside of it, beside calling them."""

from torch import fx

from uecompress.networks.tree import copied

KNOWN = ("torch.nn.modules.", "uecompress.")  # where classes of torch and ours are from


def tensors_read(model):
    """The dotted names of parameters that a module reads from the modules inside of it.

    Found by tracing each module that is neither torch's nor ours with ``torch.fx``. Of one that
    cannot be traced nothing is known.
    """
    names = [name for name, module in model.named_modules() if _may_read(module)]
    if not names:
        return set()
    # A forward may leave something on its module: it works on a copy, with the same parameters.
    model = copied(model, {id(parameter): parameter for parameter in model.parameters()})
    read = set()
    for name in names:
        try:
            graph = _CallsOnly().trace(model.get_submodule(name))
        except Exception:  # whatever a forward does with what is no tensor
            continue
        targets = {node.target for node in graph.nodes if node.op == "get_attr"}
        read |= {f"{name}.{target}".lstrip(".") for target in targets if "." in target}
    return read


def _may_read(module):
    ours = type(module).__module__.startswith(KNOWN) and "forward" not in vars(module)
    return bool(module._modules) and not ours


class _CallsOnly(fx.Tracer):
    """Traces a module's own forward: the modules that it calls are not looked into."""

    def is_leaf_module(self, module, name):
        return True
