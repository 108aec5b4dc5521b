"""The formula of every measure, for the glossary; TP, FP, FN and TN are pixels, or slices for stage 1."""

FORMULAS = {
    "volume_dice_mean": "2 TP / (2 TP + FP + FN) over a patient's whole volume, then the mean over patients",
    "volume_dice_median": "the same, then the median over patients",
    "tumour_slice_dice": "2 TP / (2 TP + FP + FN) of a slice, then the mean over slices with a tumour",
    "tumour_slice_iou": "TP / (TP + FP + FN) of a slice, then the mean over slices with a tumour",
    "pooled_dice": "2 ΣTP / (2 ΣTP + ΣFP + ΣFN), sums over all slices",
    "pooled_iou": "ΣTP / (ΣTP + ΣFP + ΣFN), sums over all slices",
    "all_slice_dice": "as per slice, 1 where both masks are empty, then the mean over all slices",
    "precision": "TP / (TP + FP)",
    "recall": "TP / (TP + FN)",
    "empty_slice_fp_rate": "slices without a tumour but with FP > 0 / slices without a tumour",
    "lesion_sensitivity_q1": "lesions with TP > 0 / lesions, the smallest quarter by area",
    "hd95_px": "larger of the two 95th percentiles of the distances from one outline to the other",
    "surface_dice_2px": "outline pixels of both masks within 2 pixels of the other / outline pixels of both",
    "accuracy": "(TP + TN) / all slices",
    "sensitivity": "TP / (TP + FN)",
    "specificity": "TN / (TN + FP)",
    "f1": "2 TP / (2 TP + FP + FN)",
    "auroc": "probability that a slice with a tumour gets a higher P(tumour) than one without",
    "auprc": "Σ (Rₙ − Rₙ₋₁) Pₙ over the thresholds n, precision P and recall R",
    "ece": "Σ (share of slices in a bin) · |share with a tumour − mean P(tumour)|, ten bins",
}
