"""The files of one patient: which sequence each is, sorted once for the command line, the screens and evaluations.

Files come from a folder, an archive or a visitor; `sort_examinations` makes one `Examination` of those of each patient.
"""

from resunet.examination.dicom_studies import of_series
from resunet.examination.nifti_cases import MASK, examination_of, nifti_roles
from resunet.examination.patient_files import LAYOUT, Examination
from resunet.examination.sorting import measurable_volumes, nifti_below, sort_examinations, truth_of_slices
from resunet.examination.source import CHANNEL_LIST, LOCAL, SIGNATURE, Source, find_sources

__all__ = [
    "CHANNEL_LIST",
    "LAYOUT",
    "LOCAL",
    "MASK",
    "SIGNATURE",
    "Examination",
    "Source",
    "examination_of",
    "find_sources",
    "measurable_volumes",
    "nifti_below",
    "nifti_roles",
    "of_series",
    "sort_examinations",
    "truth_of_slices",
]
