// Send "START TARGET" in nS over the serial line: the sketch answers with the pulse that leads from one to the other.
#include <ouroboros.h>

void setup()
{
    Serial.begin(115200);
}

void loop()
{
    while (Serial.available() > 0 && Serial.peek() <= ' ') {
        Serial.read();
    }
    if (Serial.available() == 0) {
        return;
    }
    const int32_t g_start_nS = Serial.parseInt();
    const int32_t g_target_nS = Serial.parseInt();

    ouro_pulse_t pulse;
    const ouro_status_t status = ouro_predict(g_start_nS, g_target_nS, &pulse);
    if (status == OURO_OK) {
        Serial.print(pulse.v_uV);
        Serial.print(F(" uV for "));
        Serial.print(pulse.width_ticks);
        Serial.print(F(" ticks of 1/"));
        Serial.print(OURO_TIMER_Hz);
        Serial.println(F(" s"));
    } else if (status == OURO_NO_PULSE_NEEDED) {
        Serial.println(F("no pulse needed"));
    } else {
        Serial.println(F("the target is outside the trained window"));
    }
}
