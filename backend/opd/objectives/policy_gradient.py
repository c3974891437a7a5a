"""On-policy distillation from one number a token: the teacher's log-probability of what the student wrote.

In: three log-probabilities of each sampled token: the student's now, the student's when it was sampled, the
teacher's. Out: one loss per token. For servers that return nothing more; with a whole distribution or the top-k, use
`divergence` or `topk`, which have the same expected gradient with far less noise.

Source: Thinking Machines, "On-policy distillation" (2025): advantage log π_T - log π_old, discount 0, importance
sampling. Its expectation over the student's own samples is the gradient of KL(student‖teacher) at each token.

Legend: N sampled tokens. Nats throughout.
"""

from __future__ import annotations

from torch import Tensor


def sampled_token_policy_gradient(
    student_logprobs_N: Tensor,
    sampler_logprobs_N: Tensor,
    teacher_logprobs_N: Tensor,
    *,
    ratio_cap: float | None = None,
) -> Tensor:
    """-ratio · sg[log π_T - log π_old], ratio = exp(log π_θ - log π_old), per token (N,).

    Args:
        student_logprobs_N: log π_θ of the sampled tokens; gradient flows here.
        sampler_logprobs_N: log π_old, from the weights that sampled them. Equal to the former within one step.
        teacher_logprobs_N: log π_T.
        ratio_cap: largest ratio; a token above it gets no gradient. None: no cap. 2 is usual where samples are
            several steps old (truncated importance sampling), at the price of a bias.
    """
    advantage_N = (teacher_logprobs_N - sampler_logprobs_N).detach()
    ratio_N = (student_logprobs_N - sampler_logprobs_N.detach()).exp()
    if ratio_cap is not None:
        ratio_N = ratio_N.clamp(max=ratio_cap)
    return -ratio_N * advantage_N
