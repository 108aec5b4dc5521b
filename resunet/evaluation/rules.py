"""What each name in summary.json means, in the words that screens and model cards show."""

SUMMARY_RULES = {
    "volume_dice_mean": "Dice of each patient's whole volume, mean over patients",
    "volume_dice_median": "Dice of each patient's whole volume, median over patients",
    "tumour_slice_dice": "Dice of each slice that shows a tumour, mean over those slices",
    "tumour_slice_iou": "IoU of each slice that shows a tumour, mean over those slices",
    "pooled_dice": "Dice of all pixels of all slices together",
    "pooled_iou": "IoU of all pixels of all slices together",
    "all_slice_dice": "Dice of every slice, 1 where truth and prediction are both empty, mean over slices",
    "precision": "share of predicted tumour pixels that are tumour",
    "recall": "share of tumour pixels that were predicted",
    "empty_slice_fp_rate": "share of slices without tumour on which some pixel was predicted",
    "lesion_sensitivity_q1": "share of lesions in the smallest quarter by area with at least one predicted pixel",
    "lesion_sensitivity_q2": "the same for the second quarter",
    "lesion_sensitivity_q3": "the same for the third quarter",
    "lesion_sensitivity_q4": "the same for the largest quarter",
    "hd95_px": "95th percentile Hausdorff distance in pixels, mean over slices where truth and prediction both exist",
    "surface_dice_2px": "share of both outlines within 2 pixels of the other, mean over the same slices",
    "accuracy": "share of slices that stage 1 judged right",
    "sensitivity": "share of slices with tumour that stage 1 passed on",
    "specificity": "share of slices without tumour that stage 1 stopped",
    "f1": "harmonic mean of stage 1's precision and sensitivity",
    "auroc": "area under stage 1's ROC curve over slices",
    "auprc": "average precision of stage 1 over slices",
    "ece": "expected calibration error of stage 1 over slices, ten bins of equal width",
}
EMPTY_RULE = {"all_slice_dice": "1 when truth and prediction are both empty", "others": "slices without tumour are left out"}
