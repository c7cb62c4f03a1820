/* The whole interface in one header, for C and for C++. */
#ifndef OUROBOROS_H
#define OUROBOROS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "ouro_config.h"
#include "ouro_controller.h"
#include "ouro_device_state.h"
#include "ouro_predictor.h"
#include "ouro_scpi.h"

#ifdef __cplusplus
}
#endif

#endif
