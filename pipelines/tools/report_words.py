"""What each number of out/metrics.json means, in a few words."""

_MEANINGS = {
    "n": "samples",
    **dict.fromkeys(("is", "cis", "score_efficientnet_lite0"), "score: 1 at worst, the number of classes at best"),
    **dict.fromkeys(("kid", "kcd", "kd_efficientnet_lite0"), "kernel distance to unseen images, 0 at best, unbiased"),
    "n_heldout": "unseen real images",
    "n_train": "training images",
    "rough_share": "samples rougher or smoother than 98 % of training images",
    "rough_share_heldout": "the same of unseen images",
    "accuracy_asked": "samples classified as the class asked for",
    "accuracy_class_min": "the same, in the class where it is lowest",
    "accuracy_heldout": "unseen real images classified as their class",
    "near_share": "samples nearer to a training image than nearly all unseen images are",
    "near_share_heldout": "the same of unseen images",
    "near_chance": "how often chance alone gives so many",
    "lone_share": "samples with one training image far nearer than the next",
    "lone_share_heldout": "the same of unseen images",
    "lone_chance": "how often chance alone gives so many",
    "constant_share": "samples of one single colour",
    "constant_share_heldout": "the same of unseen images",
    "duplicate_share": "samples equal to an earlier one",
    "duplicate_share_heldout": "the same of unseen images",
    "saturated_share": "values at an end of the range, in samples",
    "saturated_share_heldout": "the same in unseen images",
    "nyquist_energy": "energy at the Nyquist frequency against that beside it, in samples: more than real is a mesh",
    "nyquist_energy_heldout": "the same in unseen images",
    "bits_per_dim": "bits that the network needs for a value of an unseen image, at most",
    "bits_per_dim_error": "its standard error",
    "golden_difference": "levels by which the bundle's golden image differs when it is made again",
}
_BEGINNINGS = {
    "energy_": "distance to unseen images, 0 = real images, 1 = a single real image repeated",
    "lost_": "unseen images in regions that samples hardly reach",
}
_ENDINGS = {
    "_class_max": "the same, in the class where it is highest",
    "_infinity": "distance to train that infinitely many samples would have, by extrapolation",
    "_coverage": "unseen images that samples reach",
    "_coverage_class_min": "samples' reach in the class where it is lowest",
    "_density": "unseen images near a sample, 1 = as dense as the data",
    "_precision": "samples that lie where unseen images do",
    "_recall": "unseen images that lie where samples do",
    "_diversity_class_min": "how far samples of a class lie apart where that is least, 1 = as unseen images",
    **dict.fromkeys(
        ("_coverage_real", "_density_real", "_precision_real", "_recall_real"), "the same of as many training images"
    ),
    "_std": "its standard deviation over subsets",
    "_real": "the same of unseen images",
}


def meaning(name: str) -> str:
    """Empty for a number that no one has written a word about."""
    ending = next((text for end, text in _ENDINGS.items() if name.endswith(end)), "")
    beginning = next((text for begin, text in _BEGINNINGS.items() if name.startswith(begin)), "")
    return _MEANINGS.get(name, ending or beginning)
