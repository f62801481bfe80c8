"""The names of the explainers, for settings and help that need not load them."""

EXPLAINER_NAMES = ("lime", "grad_cam", "integrated_gradients", "occlusion", "attention_rollout")
