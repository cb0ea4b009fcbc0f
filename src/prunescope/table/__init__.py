"""Measurements: the schema, people's files and stores read into one typed table, and the store itself."""

from prunescope.table.arrays import ArrayEntry as ArrayEntry
from prunescope.table.arrays import ArrayKind as ArrayKind
from prunescope.table.merge import merge as merge
from prunescope.table.merge import refuse_unlike as refuse_unlike
from prunescope.table.reading import read_table as read_table
from prunescope.table.row_groups import configuration_codes as configuration_codes
from prunescope.table.schema import BY_NAME as BY_NAME
from prunescope.table.schema import COLUMNS as COLUMNS
from prunescope.table.schema import STORED as STORED
from prunescope.table.schema import Column as Column
from prunescope.table.schema import Kind as Kind
from prunescope.table.status import Failure as Failure
from prunescope.table.status import Status as Status
from prunescope.table.status import StudyProgress as StudyProgress
from prunescope.table.status import finished as finished
from prunescope.table.status import status as status
from prunescope.table.store import Store as Store
from prunescope.table.store import is_store as is_store
from prunescope.table.table import Table as Table
from prunescope.table.table import aligned as aligned
from prunescope.table.table import csv_parts as csv_parts
from prunescope.table.table import csv_text as csv_text
from prunescope.table.table import json_parts as json_parts
from prunescope.table.table import json_text as json_text
from prunescope.table.table import shown as shown
from prunescope.table.table import write_table as write_table
