// The event loop of Qt, as `lib.rs` calls it: each function on the thread of the application.

#include <QCoreApplication>
#include <QSocketNotifier>
#include <QTimer>

namespace {

// Runs what is ready. Returns in how many milliseconds it wants to be called again at the latest; a negative
// number is never.
using Turn = int (*)(void *data);

// Returns false to end the loop.
using Tick = bool (*)(void *data);

struct Application {
    int argc = 1;
    char name[7] = "twoply";
    char *argv[2] = {name, nullptr};
    QCoreApplication loop{argc, argv};
};

// Calls `turn` when the descriptor is readable, and when the time has come that the last call has named.
struct Watch {
    QSocketNotifier readable;
    QTimer due;

    Watch(int fd, Turn turn, void *data) : readable(fd, QSocketNotifier::Read) {
        due.setSingleShot(true);
        due.setTimerType(Qt::PreciseTimer);
        const auto again = [this, turn, data] {
            const int milliseconds = turn(data);
            milliseconds < 0 ? due.stop() : due.start(milliseconds);
        };
        QObject::connect(&readable, &QSocketNotifier::activated, again);
        QObject::connect(&due, &QTimer::timeout, again);
        due.start(0);
    }
};

} // namespace

// An exception must not reach Rust; there is one where memory is out, and it ends the process.
extern "C" {

Application *twoply_qt_new() noexcept { return new Application; }

void twoply_qt_delete(Application *application) noexcept { delete application; }

void twoply_qt_run(Application *application, int period, Tick tick, void *data) noexcept {
    QTimer ticks;
    QObject::connect(&ticks, &QTimer::timeout, [=] {
        if (!tick(data)) application->loop.quit();
    });
    ticks.start(period);
    application->loop.exec();
}

Watch *twoply_qt_watch(int fd, Turn turn, void *data) noexcept { return new Watch(fd, turn, data); }

void twoply_qt_unwatch(Watch *watch) noexcept { delete watch; }
}
