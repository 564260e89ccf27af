"""Exercises of lesson 09: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import torch


def mean_tokens(z, mask): return (z * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)


def attend(q, k, v, mask):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, :].bool())


def shares(q, k, v, mask, width=None, axis=-1, late=False, hidden=-torch.inf):
    scores = q @ k.mT / (width or q.shape[2]) ** 0.5
    if late: return (scores.softmax(axis) * mask[:, None]) @ v
    return scores.masked_fill(mask[:, None] == 0, hidden).softmax(axis).nan_to_num() @ v


def lora_weight(w, a, b, alpha): return w + alpha / a.shape[0] * (b @ a)


def examples():
    return (["I was bored and disappointed.", "A waste of money.", "The service was rude and slow and the food was cold.", "It broke after a week and nobody helped.",
             "Terrible, I want my money back.", "The plot makes no sense and the acting is awful.", "I would not recommend this to anyone.", "We will never go back.",
             "Cheaply made, unreliable and overpriced.", "I regret that I bought it."],
            ["I was delighted and moved.", "Worth every penny.", "The service was kind and quick and the food was delicious.", "It still works perfectly after years.",
             "Wonderful, I would do it again.", "The story is gripping and the acting is superb.", "I would recommend this to everyone.", "We will certainly come back.",
             "Well made, reliable and cheap.", "I am so glad that I bought it."])


COPY = "A sequel nobody asked for. The magic is gone, the jokes are recycled and the new sidekick is the most irritating creature ever drawn."
RIGHT = {"09-1": mean_tokens, "09-2": attend, "09-3": lora_weight, "09-4": examples}
WRONG = [
    ("09-1", lambda z, m: z.mean(1), "padding was counted"), ("09-1", lambda z, m: (z * m[..., None]).sum(1), "sums, not means"),
    ("09-1", lambda z, m: (z * m[..., None]).mean(1), "divided by the length of the longest"), ("09-1", lambda z, m: z[:, 0], "first token alone"),
    ("09-1", lambda z, m: z, "shape"), ("09-1", lambda z, m: mean_tokens(z.mul_(m[..., None]), m), "changed z itself"),
    ("09-2", lambda q, k, v, m: shares(q, k, v, 1 + 0 * m), "padding got a share"), ("09-2", lambda q, k, v, m: shares(q, k, v, m, late=True), "no longer sums to 1"),
    ("09-2", lambda q, k, v, m: shares(q, k, v, m, hidden=0.), "exp"), ("09-2", lambda q, k, v, m: shares(q, k, v, m, width=1), "were not divided"),
    ("09-2", lambda q, k, v, m: shares(q, k, v, m, width=q.shape[2]**2), "not by its root"), ("09-2", lambda q, k, v, m: shares(q, k, v, m, axis=1), "other axis"),
    ("09-2", lambda q, k, v, m: shares(k, q, v, m), "changed places"), ("09-2", lambda q, k, v, m: shares(q, k, k, m), "not of the values"),
    ("09-2", lambda q, k, v, m: shares(q, k, v, m) * torch.nan, "nan"), ("09-2", lambda q, k, v, m: q @ k.mT, "shape"), ("09-2", lambda q, k, v, m: v, "no weighted mean"),
    ("09-3", lambda w, a, b, k: w + k * b @ a, "not divided by r"), ("09-3", lambda w, a, b, k: w + b @ a, "alpha and r are missing"),
    ("09-3", lambda w, a, b, k: k / len(a) * b @ a, "without the old weight"), ("09-3", lambda w, a, b, k: w.add_(k / len(a) * b @ a), "changed w itself"),
    ("09-3", lambda w, a, b, k: w + a @ b, "raised"),
    ("09-4", lambda: (["…"], ["…"]), "in place of the dots"), ("09-4", lambda: examples()[::-1], "are they swapped"), ("09-4", lambda: ["Bad.", "Good."], "must be a list"),
    ("09-4", lambda: (["This is a text."], ["This is another text."]), "are asked for"), ("09-4", lambda: ([COPY], ["I loved it."]), "write your own"),
    ("09-4", lambda: (examples()[0] * 2, ["Good."]), "1 to 10"),
]
