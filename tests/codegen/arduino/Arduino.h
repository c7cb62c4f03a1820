// What the sketches use of the Arduino core, over standard input and output. Ends the program with its input.
#pragma once

#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#define F(text) text

struct SerialPort {
    void begin(unsigned long)
    {
    }
    int peek()
    {
        const int byte = std::getchar();
        std::ungetc(byte, stdin);
        return byte;
    }
    int read()
    {
        return std::getchar();
    }
    int available()
    {
        if (peek() == EOF) {
            std::exit(0);
        }
        return 1;
    }
    long parseInt()
    {
        while (peek() != EOF && peek() != '-' && !std::isdigit(peek())) {
            read();
        }
        long value = 0;
        return std::scanf("%ld", &value) == 1 ? value : 0;
    }
    void print(const char *text)
    {
        std::fputs(text, stdout);
    }
    void print(int value)
    {
        std::printf("%d", value);
    }
    void print(long value)
    {
        std::printf("%ld", value);
    }
    void print(unsigned int value)
    {
        std::printf("%u", value);
    }
    void print(unsigned long value)
    {
        std::printf("%lu", value);
    }
    void println(const char *text)
    {
        std::printf("%s\n", text);
    }
};

static SerialPort Serial;

void setup();
void loop();

int main()
{
    setup();
    for (;;) {
        loop();
    }
}
