"""Stored networks for other programs: safetensors and ONNX."""

import copy
import warnings

import torch

from uecompress.atomic import replacing
from uecompress.storage.network import load


def export_safetensors(path, target):
    """Write the decoded tensors of a stored network or state dict as a safetensors file.

    Args:
        path: of a file that :func:`save <uecompress.storage.save>` wrote.
        target: where to write. The names are those of ``state_dict``; a shared tensor is written
            under each of its names.

    Raises:
        DamagedFile: as :func:`load <uecompress.storage.load>`.
    """
    from safetensors.torch import save

    loaded = load(path)
    state = loaded if isinstance(loaded, dict) else loaded.state_dict()
    content = save({name: tensor.clone() for name, tensor in state.items()})
    with replacing(target) as file:
        file.write(content)


def export_onnx(model, x, path):
    """Write a network as an ONNX file for batches of any size; needs ``onnx`` and ``onnxscript``.

    Args:
        model: a network whose prediction is not random; it is exported in evaluation mode.
        x: an example of its input (N, ...), N at least 2.
        path: where to write.

    Raises:
        ValueError: ``x`` has fewer than two rows, or no entries; the network can be sampled (a
            variational layer, MC dropout): ONNX would hold only its mean; or it works for batches
            of the size of ``x`` only.
    """
    if x.ndim == 0 or len(x) < 2 or not x.numel():
        raise ValueError(f"x must hold at least two inputs, not shape {tuple(x.shape)}")
    for name, module in model.named_modules():
        if hasattr(module, "sampling"):
            raise ValueError(f"layer {name!r} can be sampled; ONNX would hold only its mean")
    model, batch = copy.deepcopy(model).eval(), torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the exporter itself uses
        program = torch.onnx.export(
            model, (x,), dynamo=True, verbose=False, dynamic_shapes=({0: batch},)
        )
    if isinstance(program.model.graph.inputs[0].shape[0], int):
        raise ValueError(f"what the network does depends on the size {len(x)} of the batch")
    with replacing(path) as file:
        file.write(program.model_proto.SerializeToString())
