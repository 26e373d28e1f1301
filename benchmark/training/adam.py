"""Adam with TensorFlow's epsilon."""

import torch
from torch import Tensor
from torch.optim.adam import adam


class TensorFlowAdam(torch.optim.Adam):
    """Adam as TensorFlow 1 computes it, `tf.train.AdamOptimizer`. In update t, with moments m and v of the gradient,

        w <- w - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps)

    (Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, the reordered form at the end of section 2).
    `torch.optim.Adam`, like their Algorithm 1, corrects v before it adds eps. Here eps acts as 1 / sqrt(1 - b2^t) times
    that of `torch.optim.Adam`: 32 times in the first update with b2 = 0.999, equal in the limit of many updates.

    The update is torch's fused kernel. It corrects no bias, because the number of updates that it is given is infinite;
    the learning rate contains the correction. Everything is computed on the device, so updates can be captured as CUDA
    graphs. States are those of `torch.optim.Adam`. Construct it with `fused=True`.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        del closure
        for group in self.param_groups:
            lists: tuple[list[Tensor], ...] = ([], [], [], [], [], [])
            self._init_group(group, *lists)  # type: ignore[no-untyped-call]
            parameters, gradients, means, squares, no_maxima, steps = lists
            if not parameters:
                continue
            torch._foreach_add_(steps, 1)
            (beta1, beta2), t = group["betas"], steps[0].double()
            rate = group["lr"] * (1 - beta2**t).sqrt() / (1 - beta1**t)
            adam(
                parameters, gradients, means, squares, no_maxima, [torch.full_like(steps[0], torch.inf)] * len(steps),
                fused=True, amsgrad=False, maximize=False, weight_decay=0.0, beta1=beta1, beta2=beta2,
                lr=rate.float() if rate.is_cuda else rate,  # the precision that the kernels read
                eps=group["eps"],
            )  # fmt: skip
