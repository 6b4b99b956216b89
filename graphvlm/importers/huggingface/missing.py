"""What the language or the importer lacks for a multimodal model type of `transformers`, while it cannot be imported.

Written from the modeling files of 5.23; the refusal of a config says it. A type that is imported is not looked up here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_QFORMER = "a text that every frame of a video reads beside its queries"
_MAMBA = "state-space layers (Mamba 2)"
_SHORT_CONV = "short convolutions among the layers"
_INDEXED_BLOCKS = "an indexer that chooses blocks of keys"
_CONFORMER = "Conformer blocks (depthwise convolution, relative positions)"
_SAM = "SAM's tower (windows, decomposed relative positions, convolution neck)"
_VQ = "images as tokens of a codebook (VQ-GAN)"
_ENC_DEC = "an encoder-decoder language model"
_NATIVE = "the reader of its tower of native resolution"
_ONLY_READER = "nothing but its reader in the importer"
_TIMM = "a tower of timm"
_PER_LAYER = "embeddings for every layer, and layers that share keys and values"
_HYPER = "hyper-connections"
_SPEECH = "speech that comes out, by a talker and a vocoder"

MISSING: Mapping[str, str] = MappingProxyType(
    {
        "aria": "attention through two maps each in its projector; the reader of its experts",
        "aya_vision": _ONLY_READER,
        "blip": "an encoder and a decoder of text with post-norms (BERT) that attend to image features",
        "chameleon": _VQ,
        "cohere2_vision": _ONLY_READER,
        "cosmos3_edge": _NATIVE,
        "cosmos3_omni": f"{_NATIVE}; the readers of its generation parts",
        "deepseek_ocr2": f"{_SAM}; a language model as the encoder",
        "deepseek_vl": _ONLY_READER,
        "deepseek_vl_hybrid": _SAM,
        "diffusion_gemma": "text by diffusion: a decoder that attends to an encoder's cache both ways",
        "dots3_note": "the reader of its text model; experts in the tower; several kinds of input",
        "emu3": _VQ,
        "evolla": "proteins: an encoder of their sequences",
        "fast_vlm": _TIMM,
        "florence2": f"{_ENC_DEC}; attention over channels (DaViT)",
        "fun_asr_nano": "memory blocks (FSMN: a convolution beside attention) in the encoder of sound",
        "fuyu": "rows of patches as tokens: a linear layer instead of a tower",
        "gemma3": _ONLY_READER,
        "gemma3n": f"{_PER_LAYER}; {_TIMM}",
        "gemma4": f"{_PER_LAYER}; {_CONFORMER}",
        "gemma4_unified": f"{_PER_LAYER}; patches without a tower",
        "git": "image tokens that see each other and text that sees them (a prefix mask over a scratch decoder)",
        "glm46v": _NATIVE,
        "glm4v": _NATIVE,
        "glm5_next": f"{_HYPER}; an indexer over pools of keys; linear attention with forget gates",
        "glmasr": "rotary positions in the encoder of sound",
        "got_ocr2": _SAM,
        "granite4_vision": "a Q-Former over windows; features added in several layers",
        "granite_docling": "a router among projectors; features added in several layers",
        "granite_speech": f"{_CONFORMER}; a Q-Former over windows; weights that only sound switches on",
        "granite_speech_plus": f"{_CONFORMER}; a Q-Former over windows; weights that only sound switches on",
        "hunyuan_vl": f"{_NATIVE}; rows that end in a learned token",
        "idefics": "its reader; words beside the vocabulary in a table of their own",
        "inkling2": f"{_SHORT_CONV}; logits of relative positions; attention over earlier blocks",
        "inkling_mm_model": f"{_SHORT_CONV}; logits of relative positions",
        "instructblipvideo": _QFORMER,
        "internvl": _ONLY_READER,
        "janus": f"{_VQ} (only understanding would need its tower's reader)",
        "kimi_k25": "frames of videos with positions of their own that are averaged, and its reader",
        "kosmos-2": "norms inside attention and mlp",
        "kosmos-2.5": "norms inside attention and mlp; patches with row and column embeddings",
        "kyutai_speech_to_text": "several codebooks summed at every step (a codec's tokens)",
        "lfm2_vl": _SHORT_CONV,
        "lfm3_vl": f"{_SHORT_CONV}, in the tower too",
        "lighton_ocr": "its reader; its tower is that of Pixtral",
        "llama4": "chunked attention, layers without positions and scaled queries in its reader",
        "minicpmv4_7": "positions of three numbers on the canvas of an image cut into slices",
        "minimax_m3_vl": _INDEXED_BLOCKS,
        "mistral3": _NATIVE,
        "mistral4": "the reader of its text model, which stands alone here (latent attention, experts)",
        "mistral_large4": "an indexer whose queries are normed, and scaled by their place",
        "mllama": "its tower of tiles, and the reader around its cross-attention",
        "molmo2": "features added to the words' embeddings; attention pooling over windows",
        "moss_transcribe_diarize": _ONLY_READER,
        "muse_glimmer": f"{_NATIVE}; attention gates of its text model",
        "muse_spark": f"{_NATIVE}; gates on residual sums; causal convolutions of sound",
        "nemo_speechlm": f"{_CONFORMER}; {_MAMBA}",
        "nemotron_h_omni": f"{_MAMBA}; RADIO's conditioned patches",
        "paligemma": "a prefix that sees itself both ways",
        "perception_lm": _TIMM,
        "phi4_multimodal": f"{_CONFORMER}; adapters of weights that each kind of input switches on",
        "pi0": "actions by flow matching: two decoders that share attention",
        "pix2struct": f"{_ENC_DEC}; patches with row and column embeddings",
        "pp_chart2table": _SAM,
        "pp_formulanet": f"{_ENC_DEC}; {_SAM}",
        "qianfan_ocr": "its reader, and names of keys: transformers writes others than the published files have",
        "qwen2_5_omni": _SPEECH,
        "qwen2_5_omni_thinker": "positions that run through sound, images and text together",
        "qwen2_5_vl": _NATIVE,
        "qwen2_vl": _NATIVE,
        "qwen3_asr": "chunks of sound that only see themselves, after two-dimensional convolutions",
        "qwen3_omni_moe": _SPEECH,
        "qwen3_omni_moe_thinker": "positions that run through sound, images and text together",
        "qwen3_vl": f"{_NATIVE}; features added in several layers (deepstack)",
        "qwen3_vl_moe": f"{_NATIVE}; features added in several layers (deepstack)",
        "qwen4_exp": f"{_INDEXED_BLOCKS}; embeddings of word groups",
        "shieldgemma2": "yes and no as the only outputs; the model inside is a Gemma 3",
        "step3p7": "convolutions that shrink the tower's map; gates of attention heads",
        "t5gemma2": _ENC_DEC,
        "udop": f"{_ENC_DEC}; biases of relative positions on a page",
        "unlimited_ocr": f"{_SAM} beside CLIP",
        "vibevoice_asr": "convolutional tokenizers of sound",
        "video_llama_3": f"{_NATIVE}; frames that are merged and left out",
        "vipllava": "features of several layers in its reader",
        "vision-encoder-decoder": _ENC_DEC,
        "voxtral_realtime": "causal convolutions of sound; norms that time conditions",
    }
)
