/* foreign.h - payloads of the serializers that are not made of MessagePack documents. */
#ifndef CKIT_CLI_INSPECT_FOREIGN_H
#define CKIT_CLI_INSPECT_FOREIGN_H

#include "inspect/report.h"

/* JSON text, with the 8 bytes of its checksum in front or without (serializer orjson). */
void inspect_checked_json(inspect_report *report, const inspect_part *payload);
/* An Arrow IPC file behind its checksum; old entries have none. What is in the file is not looked at. */
void inspect_arrow(inspect_report *report, const inspect_part *payload);
/* An array of NumPy (serializer auto): "NUMPY_RAW", type, shape and elements, with a checksum in front or without. */
void inspect_numpy(inspect_report *report, const inspect_part *payload);

#endif
