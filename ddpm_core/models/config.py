"""The networks that section `model` chooses from by `kind`: a new one is two files in this folder and its name here."""

from ddpm_core.models.csdi import CSDIConfig
from ddpm_core.models.imported_unet_config import ImportedUNetConfig
from ddpm_core.models.linear_attention_unet_config import LinearAttentionUNetConfig
from ddpm_core.models.mlp_config import MLPConfig
from ddpm_core.models.timegrad_config import TimeGradConfig
from ddpm_core.models.transformer_config import TransformerConfig
from ddpm_core.models.unet_config import UNetConfig
from ddpm_core.models.vae_config import VAEConfig

ModelConfig = (
    UNetConfig
    | MLPConfig
    | TransformerConfig
    | VAEConfig
    | CSDIConfig
    | TimeGradConfig
    | ImportedUNetConfig
    | LinearAttentionUNetConfig
)
