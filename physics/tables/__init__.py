"""Published or measured tables of designs and labels, as simulators."""

from physics.tables.graphene import graphene_labels, graphene_table
from physics.tables.labels import LabelSet, LevelLabels, read_labels
from physics.tables.mos2 import Mos2Sheet, mos2_codes, mos2_sheet, mos2_table, row_density
from physics.tables.table import Label, TableSimulator, read_csv, table_from_csv

__all__ = [
    "Label",
    "LabelSet",
    "LevelLabels",
    "Mos2Sheet",
    "TableSimulator",
    "graphene_labels",
    "graphene_table",
    "mos2_codes",
    "mos2_sheet",
    "mos2_table",
    "read_csv",
    "read_labels",
    "row_density",
    "table_from_csv",
]
