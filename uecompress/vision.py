"""torchvision beside any build of torch: ``from uecompress.vision import torchvision``.

The package registry's torchvision for Linux is built for CUDA. Beside a CPU build of torch its
compiled library cannot be loaded. That alone would do no harm, since pictures, transforms and
classifiers need none of it; but the import then registers Python kernels of two operators of that
library, for the suppression of overlapping boxes, and fails because nobody has declared them. So
they are declared here, where the first try fails, and only there. The operators stay without an
implementation: who detects objects needs a torchvision built for the same torch.

Nothing else of the library needs torchvision, or imports this module.
"""

import sys

import torch

_MISSING = "operator torchvision::nms does not exist"

try:
    import torchvision.transforms.v2
except RuntimeError as error:
    if _MISSING not in str(error):
        raise
    _library = torch.library.Library("torchvision", "DEF")  # its operators live as long as it does
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for _name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[_name]  # what the first try left behind
    import torchvision.transforms.v2

__all__ = ["torchvision"]
