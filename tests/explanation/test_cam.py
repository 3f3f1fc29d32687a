"""Maps of networks whose right map is known, against the formulae and against grad-cam."""

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from torch import Tensor, nn

from brainssl.explanation.activations import Activations, activations
from brainssl.explanation.cam import (
    MAPS,
    ROLLOUT,
    at_image_size,
    eigen_cam,
    grad_cam,
    grad_cam_plus_plus,
)
from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder

NAMES = tuple(name for name in MAPS if name != ROLLOUT)
OF_TOKENS = ("gradcam", "eigencam", "layercam", ROLLOUT)
LIBRARY = {"gradcam": "GradCAM", "gradcampp": "GradCAMPlusPlus", "layercam": "LayerCAM"}


def random_activations(
    n: int = 3, k: int = 4, c: int = 6, side: int = 5, *, shared: bool = False
) -> Activations:
    """Activations that are never negative, with gradients at every place or once for all."""
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(n, c, side, side, generator=draw).relu()
    shape = (1, k, c, 1, 1) if shared else (n, k, c, side, side)
    gradients = torch.randn(shape, generator=draw)
    return Activations(values, gradients, torch.zeros(n, k), torch.arange(k).expand(n, k))


def spread(of: Activations) -> Activations:
    """The same with gradients that stand at every place."""
    n, c, h, w = of.features.shape
    full = of.gradients.expand(n, of.targets.shape[1], c, h, w).contiguous()
    return Activations(of.features, full, of.logits, of.targets)


def classifier(name: str = "test_resnet", size: int = 64, pool: str = "auto") -> Classifier:
    torch.manual_seed(0)
    encoder = build_encoder(name, image_size=size, pool=pool, seed=0)  # type: ignore[arg-type]
    return Classifier(encoder, nn.Linear(encoder.dim, 3), ("a", "b", "c"), {}).eval()


def slices(n: int, size: int = 64) -> Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_that_stand_once_give_the_map_of_those_at_every_place(name: str) -> None:
    of = random_activations(shared=True)
    torch.testing.assert_close(MAPS[name](of), MAPS[name](spread(of)))


def test_grad_cam_is_its_formula() -> None:
    of = random_activations()
    maps = grad_cam(of)
    values, gradients = of.features.numpy(), of.gradients.numpy()
    for i, k in np.ndindex(3, 4):
        weights = [gradients[i, k, c].mean() for c in range(6)]
        expected = sum(weight * values[i, c] for c, weight in enumerate(weights)).clip(min=0)
        np.testing.assert_allclose(maps[i, k], expected, rtol=1e-5, atol=1e-6)


def test_grad_cam_plus_plus_is_its_formula() -> None:
    """Place by place, and the sum of activations stands outside of the cube of the gradient."""
    of = random_activations()
    maps = grad_cam_plus_plus(of)
    values, gradients = of.features.double().numpy(), of.gradients.double().numpy()
    for i, k in np.ndindex(3, 4):
        expected = np.zeros((5, 5))
        for c in range(6):
            g, weight = gradients[i, k, c], 0.0
            for y, x in np.ndindex(5, 5):
                if g[y, x] != 0:
                    alpha = g[y, x] ** 2 / (2 * g[y, x] ** 2 + values[i, c].sum() * g[y, x] ** 3)
                    weight += alpha * max(g[y, x], 0)
            expected += weight / 25 * values[i, c]
        np.testing.assert_allclose(maps[i, k], expected.clip(min=0), rtol=1e-5, atol=1e-6)


def test_grad_cam_plus_plus_survives_gradients_of_any_size() -> None:
    """A constant in the denominator would swamp the squares of small gradients."""
    of = random_activations(shared=True)
    for scale in (1e-8, 1e-4):
        small = Activations(of.features, of.gradients * scale, of.logits, of.targets)
        maps = grad_cam_plus_plus(small) / scale
        # For small gradients the weight tends to g / 2.
        weights = (of.gradients[..., 0, 0].relu() / 2).expand(3, -1, -1)
        expected = torch.einsum("nkc,nchw->nkhw", weights, of.features)
        torch.testing.assert_close(maps, expected, rtol=1e-2, atol=1e-4)
    nothing = Activations(of.features, of.gradients * 0, of.logits, of.targets)
    assert not grad_cam_plus_plus(nothing).any()


@pytest.mark.parametrize(("channels", "side"), [(6, 5), (40, 3)])
def test_eigen_cam_is_the_projection_on_the_first_singular_vector(channels: int, side: int) -> None:
    """Both of the small matrices, against NumPy's decomposition of one image at a time."""
    of = random_activations(c=channels, side=side)
    maps = eigen_cam(of)
    for i in range(3):
        places = of.features[i].flatten(1).T.double().numpy()
        _, _, directions = np.linalg.svd(places, full_matrices=False)
        expected = np.abs(places @ directions[0]).reshape(side, side)
        for k in range(4):
            np.testing.assert_allclose(maps[i, k], expected, rtol=1e-4, atol=1e-5)


def test_eigen_cam_of_a_single_place_shows_that_place() -> None:
    values = torch.zeros(1, 8, 4, 4)
    values[0, :, 2, 1] = torch.arange(8.0)
    targets = torch.zeros(1, 1, dtype=torch.int64)
    of = Activations(values, torch.zeros(1, 1, 8, 4, 4), torch.zeros(1, 3), targets)
    assert torch.nonzero(eigen_cam(of)[0, 0] > 1e-3).tolist() == [[2, 1]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layer", [None, "layer3"])
def test_a_batch_is_the_same_images_one_by_one(name: str, layer: str | None) -> None:
    model, images = classifier(), slices(5)
    together = MAPS[name](activations(model, images, "all", layer=layer))
    alone = torch.cat([MAPS[name](activations(model, i[None], "all", layer=layer)) for i in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_classes_at_once_are_the_classes_one_by_one(name: str) -> None:
    model, images = classifier(), slices(4)
    every = MAPS[name](activations(model, images, "all"))
    for target in range(3):
        one = MAPS[name](activations(model, images, torch.full((4,), target)))
        torch.testing.assert_close(every[:, target : target + 1], one)


class Detector(nn.Module):
    """Channel 0 is bright where the image is, channel 1 where it is dark: pooled, then linear."""

    def forward_features(self, images: Tensor) -> Tensor:
        pooled = nn.functional.avg_pool2d(images * 0.226 + 0.449, 8)
        return torch.cat([pooled, 1 - pooled], 1)

    def forward_head(self, values: Tensor) -> Tensor:
        return values.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))


def detector() -> Classifier:
    """Class 0 speaks for bright, class 1 for dark, class 2 against both."""
    model = classifier()
    model.encoder.network, model.encoder.dim = Detector(), 2
    model.head = nn.Linear(2, 3)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
    return model


def half_bright() -> Tensor:
    images = torch.zeros(1, 1, 64, 64)
    images[..., :32] = 1
    return images


@pytest.mark.parametrize("name", ["gradcam", "gradcampp", "layercam"])
def test_a_network_whose_evidence_is_known_is_explained_by_it(name: str) -> None:
    maps = at_image_size(MAPS[name](activations(detector(), half_bright(), "all")), 64).maps[0]
    assert maps[0, :, :26].min() > 0.99
    assert maps[0, :, 38:].max() < 0.01
    assert maps[1, :, 38:].min() > 0.99
    assert maps[1, :, :26].max() < 0.01


@pytest.mark.parametrize("name", ["gradcam", "gradcampp", "layercam"])
def test_where_nothing_speaks_for_a_class_the_map_is_empty_and_says_so(name: str) -> None:
    found = at_image_size(MAPS[name](activations(detector(), half_bright(), "all")), 64)
    assert (found.peaks[0] > 0).tolist() == [True, True, False]
    assert not found.maps[0, 2].any()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e20])
def test_a_map_is_divided_by_its_peak_and_not_stretched(scale: float) -> None:
    raw = scale * (torch.rand(2, 1, 7, 7, generator=torch.Generator().manual_seed(0)) + 1)
    found = at_image_size(raw, 7)
    torch.testing.assert_close(found.maps, raw / raw.amax((2, 3), keepdim=True))
    assert found.maps.amin() > 0.4
    torch.testing.assert_close(found.peaks, raw.amax((2, 3)))


@pytest.mark.parametrize(("name", "theirs"), LIBRARY.items())
def test_maps_are_those_of_the_library_where_it_is_right(name: str, theirs: str) -> None:
    """One image at a time, in a batch that library scales maps by one another.

    The head is large, or the constant in its Grad-CAM++ would swamp the gradients. Its Eigen-CAM
    is left out: it centres the activations and takes whichever sign comes.
    """
    model, size = classifier(size=160), 160
    with torch.no_grad():
        model.head.weight *= 1e3
    layer = [model.encoder.network.layer4]
    for image in slices(3, size):
        target = int(grad_cam(activations(model, image[None], "all")).amax((0, 2, 3)).argmax())
        with getattr(pytorch_grad_cam, theirs)(model=model, target_layers=layer) as library:
            expected = library(image[None].clone(), [ClassifierOutputTarget(target)])[0]
        raw = MAPS[name](activations(model, image[None], torch.tensor([target])))
        # It moves each map's least value to 0 before and after it enlarges it.
        ours = at_image_size(raw - raw.amin(), size).maps[0, 0]
        ours = (ours - ours.min()) / (ours.max() - ours.min())
        assert expected.max() > 0.9
        assert np.abs(ours.numpy() - expected).max() < 0.02


def laid(tokens: Tensor) -> Tensor:
    """Patch tokens of test_vit as that library wants them."""
    return tokens[:, 1:].reshape(len(tokens), 10, 10, -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_grad_cam_of_tokens_is_that_of_the_library(pool: str) -> None:
    model, size = classifier("test_vit", 160, pool), 160
    layer = [model.encoder.network.blocks[-1].norm1]  # type: ignore[union-attr,index]
    for image in slices(3, size):
        raws = grad_cam(activations(model, image[None], "all"))
        target = int(raws.amax((0, 2, 3)).argmax())
        with pytorch_grad_cam.GradCAM(
            model=model, target_layers=layer, reshape_transform=laid
        ) as library:
            expected = library(image[None].clone(), [ClassifierOutputTarget(target)])[0]
        raw = raws[:, target : target + 1]
        ours = at_image_size(raw - raw.amin(), size).maps[0, 0]
        ours = (ours - ours.min()) / (ours.max() - ours.min())
        assert expected.max() > 0.9
        assert np.abs(ours.numpy() - expected).max() < 0.02


def test_eigen_cam_of_tokens_is_that_of_the_library_but_for_its_sign() -> None:
    """Both centre; the library takes the sign that comes, we the one that is farthest from 0."""
    of = activations(classifier("test_vit", 160), slices(3, 160))
    assert (of.features < 0).any()
    for ours, theirs in zip(
        eigen_cam(of)[:, 0].numpy(), get_2d_projection(of.features.numpy()), strict=True
    ):
        expected = theirs * np.sign(theirs.flat[np.abs(theirs).argmax()])
        np.testing.assert_allclose(ours, expected.clip(min=0), rtol=1e-3, atol=1e-4)
        assert ours.max() == pytest.approx(np.abs(theirs).max(), rel=1e-4)


@pytest.mark.parametrize("name", OF_TOKENS)
def test_a_batch_of_tokens_is_the_same_images_one_by_one(name: str) -> None:
    model, images = classifier("test_vit"), slices(4)
    together, *alone = (
        MAPS[name](activations(model, some, "all", attention=True))
        for some in (images, *images[:, None])
    )
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-3, atol=1e-6)


def test_grad_cam_plus_plus_is_refused_of_tokens() -> None:
    with pytest.raises(BrainsslError, match="leave gradcampp out"):
        grad_cam_plus_plus(activations(classifier("test_vit"), slices(1)))


def test_where_no_token_speaks_for_a_class_the_map_is_empty_and_says_so() -> None:
    model = classifier("test_vit")
    with torch.no_grad():
        model.head.weight[1] = 0
    found = at_image_size(grad_cam(activations(model, slices(2), "all")), 64)
    assert (found.peaks > 0).tolist() == [[True, False, True]] * 2
    assert not found.maps[:, 1].any()
