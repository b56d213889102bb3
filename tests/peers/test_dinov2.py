"""Our DINOv2 against timm's of the same weights: random ones, laid from timm's names into the official checkpoint's."""

import pytest
import torch
from torch import Tensor

from pipelines.kinds.pictures.reference.dinov2 import VisionTransformer, size_of
from tests.peers.peer import peer


def official(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's weights under the names of the official checkpoint, which holds a mask token besides.

    With registers timm's embedding is of the patches alone: the class token's is added to the token itself.
    """
    names = {"reg_token": "register_tokens"}
    ours = {names.get(name, name): tensor for name, tensor in theirs.items()}
    if "register_tokens" in ours:
        ours["pos_embed"] = torch.cat([torch.zeros_like(ours["cls_token"]), ours["pos_embed"]], dim=1)
    return {**ours, "mask_token": torch.zeros(1, ours["cls_token"].shape[-1])}


@pytest.mark.parametrize("name", ["vit_small_patch14", "vit_small_patch14_reg4", "vit_base_patch14"])
@pytest.mark.parametrize(("made_for", "side"), [(224, 224), (518, 518), (518, 224)])
def test_features_are_timms(name: str, made_for: int, side: int) -> None:
    if name == "vit_base_patch14" and side > 224:
        pytest.skip("the small one shows it in a quarter of the time")
    if made_for != side and "reg4" not in name:
        pytest.skip("without registers the official model resamples its embedding otherwise than timm")
    timm = peer("timm")
    torch.manual_seed(0)
    theirs = timm.create_model(
        f"{name}_dinov2", pretrained=False, num_classes=0, img_size=made_for, dynamic_img_size=True
    )
    theirs.eval().requires_grad_(False)
    for parameter in theirs.parameters():  # so that no part is near nothing: a scale begins as 1e-5
        parameter.add_(0.02 * torch.randn_like(parameter))
    tensors = official(theirs.state_dict())
    ours = VisionTransformer(size_of(tensors)).eval().requires_grad_(False)
    ours.load_state_dict(tensors)
    x = torch.randn(2 if side == 224 else 1, 3, side, side)
    with torch.inference_mode():
        expected, found = theirs(x), ours(x)
    assert expected.std() > 0.1
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
