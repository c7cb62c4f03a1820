/* A small board for the controller's tests; every limit may be overridden on the compiler's command line. */
#ifndef OURO_CONFIG_H
#define OURO_CONFIG_H

#include <stdint.h>

#define OURO_MIN_ticks INT32_C(2)
#define OURO_MAX_ticks INT32_C(1000000)

#define OURO_ADC_BITS 12
#define OURO_ADC_MAX_CODE INT32_C(4095)
#define OURO_ADC_FULL_SCALE_nS INT32_C(655360)
#define OURO_V_READ_uV INT32_C(200000)

#define OURO_DAC_BITS 12
#define OURO_DAC_LSB_uV INT32_C(500)

#ifndef OURO_V_SET_uV
#define OURO_V_SET_uV INT32_C(-342000)
#endif
#ifndef OURO_V_RESET_uV
#define OURO_V_RESET_uV INT32_C(706500)
#endif

#define OURO_V_SET_STEP_uV INT32_C(500)
#define OURO_V_RESET_STEP_uV INT32_C(500)
#ifndef OURO_V_SET_STEPS
#define OURO_V_SET_STEPS UINT32_C(100)
#endif
#ifndef OURO_V_RESET_STEPS
#define OURO_V_RESET_STEPS UINT32_C(200)
#endif

#ifndef OURO_LIMIT_V_uV
#define OURO_LIMIT_V_uV INT32_C(750000)
#endif
#define OURO_LIMIT_PULSE_ticks INT32_C(500000)
#define OURO_LIMIT_ITERATIONS INT32_C(20)

#define OURO_SETTLE_us INT32_C(10)
#define OURO_TIMEOUT_us INT32_C(10)
#define OURO_POLL_BUDGET 50U

#define OURO_G_MIN_nS INT32_C(94450)
#define OURO_G_MAX_nS INT32_C(559300)

#define OURO_STATE_ROWS 8U
#define OURO_STATE_COLUMNS 4U

#endif
