"""The networks that line-ups choose from, the best expected first: size, published figures, source data, licence.

The order is that of frozen features. First come networks that learned from a hundred million pictures and more without
ImageNet's labels: what is published of them was measured on frozen features, and Oquab et al. 2023 (arXiv 2304.07193,
table 8) find them ahead of supervised ones on twelve data sets. Networks trained on ImageNet-21k, -22k or -12k follow,
then those that saw ImageNet-1k alone (Kornblith, Shlens and Le 2019, arXiv 1805.08974). Within a group, larger figures
of the same kind come first. A figure that no source gives is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart.models.architectures.catalogue import Architecture, find_architecture
from headstart.models.weights.licences import Licence
from headstart.models.weights.registry import licence_of

EMBEDDED, FAST, STRONG = "embedded", "fast", "strong"
LINEAR, ZERO_SHOT, SUPERVISED = "linear probe", "zero-shot", "supervised"
_DINOV2 = "github.com/facebookresearch/dinov2 README.md"
_DINOV3 = "github.com/facebookresearch/dinov3 MODEL_CARD.md"
_SIGLIP2 = "github.com/google-research/big_vision README_siglip2.md"
_PE = "github.com/facebookresearch/perception_models apps/pe/README.md"
_MOBILECLIP = "github.com/apple/ml-mobileclip README.md"
_TIMM = "github.com/huggingface/pytorch-image-models results/results-imagenet.csv, commit aa4b585"
_TORCHVISION = "torchvision 0.29.1, metadata of the weights"
_OQUAB = "Oquab et al. 2023, arXiv 2304.07193, table 8"


@dataclass(frozen=True)
class Figure:
    """A published top-1 accuracy.

    Args:
        data: what it was measured on.
        how: "linear probe" (frozen features), "zero-shot" (against texts) or "supervised" (its own classifier).
        value: in per cent.
        source: where it is published.
    """

    data: str
    how: str
    value: float
    source: str


@dataclass(frozen=True)
class LineUpNetwork:
    """A network with its weights, as line-ups know it.

    Args:
        name: what `create_backbone` takes, and what it is called in runs.
        weights: as a study file says it.
        parameters, macs: of the stages, for an image of `size` px; as `headstart backbones NAME` counts them.
        size: side of its images, in pixels.
        source_data: what the weights learned from.
        figures: published accuracies.
        line_ups: the fixed line-ups that it belongs to.
    """

    name: str
    weights: str
    parameters: int
    macs: int
    size: int
    source_data: str
    figures: tuple[Figure, ...] = ()
    line_ups: tuple[str, ...] = ()

    @property
    def architecture(self) -> Architecture:
        """The architecture."""
        return find_architecture(self.name)

    @property
    def licence(self) -> Licence:
        """The licence of the weights."""
        return licence_of(self.architecture, self.weights)


_LVD2 = "LVD-142M: 142 M pictures, no labels"
_LVD3 = "LVD-1689M: 1,689 M pictures, no labels"
_PE_DATA = "pictures and texts from the web (Meta)"
_MILLION = "ImageNet-1k"


def _linear(value: float, source: str, data: str = "ImageNet-1k") -> Figure:
    return Figure(data, LINEAR, value, source)


def _zero_shot(value: float, source: str) -> Figure:
    return Figure("ImageNet-1k", ZERO_SHOT, value, source)


def _supervised(value: float, source: str = _TIMM) -> Figure:
    return Figure("ImageNet-1k", SUPERVISED, value, source)


CANDIDATES: tuple[LineUpNetwork, ...] = (
    LineUpNetwork(
        "dinov3_base",
        "timm:lvd1689m",
        85_641_216,
        23_574_546_432,
        256,
        _LVD3,
        (_linear(89.3, _DINOV3, "ImageNet-ReaL"),),
        (STRONG,),
    ),
    LineUpNetwork(
        "dinov2_base",
        "timm:lvd142m",
        85_724_928,
        23_161_227_264,
        224,
        _LVD2,
        (_linear(84.5, _DINOV2),),
        (STRONG,),
    ),
    LineUpNetwork(
        "dinov3_small_plus",
        "timm:lvd1689m",
        28_683_264,
        8_092_615_680,
        256,
        _LVD3,
        (_linear(88.0, _DINOV3, "ImageNet-ReaL"),),
    ),
    LineUpNetwork(
        "dinov3_small",
        "timm:lvd1689m",
        21_586_944,
        6_245_286_912,
        256,
        _LVD3,
        (_linear(87.0, _DINOV3, "ImageNet-ReaL"),),
        (STRONG,),
    ),
    LineUpNetwork(
        "dinov2_small",
        "timm:lvd142m",
        21_628_800,
        6_123_561_984,
        224,
        _LVD2,
        (_linear(81.1, _DINOV2), _linear(97.0, _OQUAB, "Caltech-101"), _linear(87.5, _OQUAB, "CIFAR-100")),
        (STRONG,),
    ),
    LineUpNetwork("dinov2_small_reg", "timm:lvd142m", 21_629_952, 6_227_592_192, 224, _LVD2, (_linear(80.9, _DINOV2),)),
    LineUpNetwork("pe_base", "timm:fb", 92_886_528, 17_801_651_712, 224, _PE_DATA, (_zero_shot(78.4, _PE),), (STRONG,)),
    LineUpNetwork(
        "siglip2_base",
        "timm:v2_webli",
        92_884_224,
        17_708_292_096,
        224,
        "WebLI: pictures and texts",
        (_zero_shot(78.2, _SIGLIP2),),
        (STRONG,),
    ),
    LineUpNetwork("pe_small", "timm:fb", 23_586_048, 15_662_049_024, 384, _PE_DATA, (_zero_shot(72.7, _PE),)),
    LineUpNetwork(
        "mobileclip2_s0",
        "timm:apple_mclip2_dfndr2b",
        10_882_176,
        2_392_129_536,
        256,
        "DFNDR-2B: pictures and texts",
        (_zero_shot(71.5, _MOBILECLIP),),
    ),
    LineUpNetwork(
        "eva02_small",
        "timm:mim_in22k_ft_in1k",
        21_744_000,
        15_450_153_984,
        336,
        "ImageNet-22k without labels, ImageNet-1k",
        (_supervised(85.8),),
    ),
    LineUpNetwork(
        "convnext_small",
        "timm:in12k_ft_in1k",
        49_454_688,
        8_682_944_256,
        224,
        "ImageNet-12k, ImageNet-1k",
        (_supervised(85.2),),
        (STRONG,),
    ),
    LineUpNetwork(
        "vit_base",
        "timm:augreg2_in21k_ft_in1k",
        85_798_656,
        17_563_060_224,
        224,
        "ImageNet-21k, ImageNet-1k",
        (_supervised(85.1),),
    ),
    LineUpNetwork(
        "hiera_small_abswin",
        "timm:sbb2_e200_in12k_ft_in1k",
        33_592_800,
        8_265_007_104,
        256,
        "ImageNet-12k, ImageNet-1k",
        (_supervised(84.9),),
    ),
    LineUpNetwork(
        "convnext_tiny",
        "timm:in12k_ft_in1k",
        27_820_128,
        4_454_763_264,
        224,
        "ImageNet-12k, ImageNet-1k",
        (_supervised(84.2),),
    ),
    LineUpNetwork(
        "convnextv2_tiny",
        "timm:fcmae_ft_in22k_in1k",
        27_866_496,
        4_454_763_264,
        224,
        "ImageNet-22k, ImageNet-1k",
        (_supervised(83.9),),
    ),
    LineUpNetwork(
        "mobilenetv4_medium",
        "timm:e250_r384_in12k_ft_in1k",
        8_434_512,
        2_426_133_504,
        384,
        "ImageNet-12k, ImageNet-1k",
        (_supervised(82.8),),
    ),
    LineUpNetwork(
        "mobilenetv4_hybrid",
        "timm:e200_r256_in12k_ft_in1k",
        9_793_648,
        1_269_903_360,
        256,
        "ImageNet-12k, ImageNet-1k",
        (_supervised(82.4),),
        (FAST,),
    ),
    LineUpNetwork(
        "convnextv2_nano",
        "timm:fcmae_ft_in22k_in1k",
        14_982_800,
        2_444_888_320,
        224,
        "ImageNet-22k, ImageNet-1k",
        (_supervised(82.0),),
    ),
    LineUpNetwork(
        "vit_small",
        "timm:augreg_in21k_ft_in1k",
        21_665_664,
        4_598_498_304,
        224,
        "ImageNet-21k, ImageNet-1k",
        (_supervised(81.4),),
    ),
    LineUpNetwork(
        "swin_tiny",
        "timm:ms_in22k_ft_in1k",
        27_519_354,
        4_489_798_656,
        224,
        "ImageNet-22k, ImageNet-1k",
        (_supervised(81.0),),
    ),
    LineUpNetwork(
        "eva02_tiny",
        "timm:mim_in22k_ft_in1k",
        5_563_584,
        4_662_120_960,
        336,
        "ImageNet-22k without labels, ImageNet-1k",
        (_supervised(80.6),),
    ),
    LineUpNetwork(
        "hiera_tiny", "timm:mae_in1k_ft_in1k", 27_141_216, 4_900_062_720, 224, _MILLION, (_supervised(82.8),)
    ),
    LineUpNetwork(
        "fastvit_sa12",
        "timm:apple_dist_in1k",
        10_555_968,
        1_942_913_024,
        256,
        _MILLION,
        (_supervised(81.8),),
    ),
    LineUpNetwork(
        "resnet50",
        "torchvision:IMAGENET1K_V2",
        23_508_032,
        4_087_136_256,
        224,
        _MILLION,
        (_supervised(80.9, _TORCHVISION),),
    ),
    LineUpNetwork(
        "efficientnet_lite2",
        "imagenet",
        4_811_072,
        858_456_272,
        260,
        _MILLION,
        (_supervised(77.5),),
        (EMBEDDED, FAST, STRONG),
    ),
    LineUpNetwork(
        "efficientnet_lite1",
        "imagenet",
        4_135_680,
        598_905_232,
        240,
        _MILLION,
        (_supervised(76.7),),
        (EMBEDDED, FAST, STRONG),
    ),
    LineUpNetwork(
        "efficientnet_lite0",
        "imagenet",
        3_371_008,
        383_907_552,
        224,
        _MILLION,
        (_supervised(74.8),),
        (EMBEDDED, FAST, STRONG),
    ),
    LineUpNetwork(
        "mobilenetv4_small",
        "timm:e2400_r224_in1k",
        2_493_024,
        184_725_568,
        224,
        _MILLION,
        (_supervised(73.8),),
        (FAST,),
    ),
    LineUpNetwork(
        "resnet18",
        "torchvision:IMAGENET1K_V1",
        11_176_512,
        1_813_561_344,
        224,
        _MILLION,
        (_supervised(69.8, _TORCHVISION),),
        (FAST,),
    ),
)
# Networks for pictures of one kind: they are compared where they are named, and no line-up takes them.
SPECIAL: tuple[LineUpNetwork, ...] = (
    LineUpNetwork("aerial_resnet18", "aerial", 13_266_240, 8_888_778_752, 128, "aerial pictures, not stated which"),
)
BY_NAME = {candidate.name: candidate for candidate in (*CANDIDATES, *SPECIAL)}
