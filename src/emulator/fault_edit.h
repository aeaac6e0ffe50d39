/* emulator/fault_edit.h - faults that change a finished answer */
#ifndef MF_EMULATOR_FAULT_EDIT_H
#define MF_EMULATOR_FAULT_EDIT_H

#include "emulator/call.h"
#include "emulator/fault.h"

/* Makes the edits of the plan, in order; what cannot be made (no such pointer) is left out. */
void emu_fault_edit(struct emu_call *call, const struct emu_plan *plan);
/* Puts the answer of a status or redirect rule in place of what is there. */
void emu_fault_replace(struct emu_call *call, struct emu_rule *rule);

#endif
