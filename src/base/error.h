/* base/error.h - the installed error object, for the program's own folders */
#ifndef MF_BASE_ERROR_H
#define MF_BASE_ERROR_H
#include "mayfly/error.h"
#endif
