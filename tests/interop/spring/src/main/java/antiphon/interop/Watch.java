package antiphon.interop;

import java.io.IOException;
import java.time.Duration;

/** Ends this process when its time is up or its parent is gone; the parent holds the other end of standard input. */
final class Watch {

    private static final int OUT_OF_TIME = 3;
    private static final int STDIN_CLOSED = 4;

    private Watch() {
    }

    static void endAfter(Duration limit, String name) {
        daemon(() -> {
            Thread.sleep(limit.toMillis());
            halt(OUT_OF_TIME, name + ": not done after " + limit.toSeconds() + " s");
        });
    }

    static void endWhenStdinCloses() {
        daemon(() -> {
            awaitStdinClosed();
            halt(STDIN_CLOSED, "standard input was closed before the end");
        });
    }

    static void awaitStdinClosed() throws IOException {
        byte[] ignored = new byte[256];
        while (System.in.read(ignored) >= 0) {
            // Whatever is written to this process means nothing; only the end does.
        }
    }

    private static void halt(int code, String message) {
        System.err.println(message);
        System.err.flush();
        Runtime.getRuntime().halt(code);
    }

    private static void daemon(Task task) {
        Thread thread = new Thread(() -> {
            try {
                task.run();
            } catch (Exception e) {
                halt(1, "the watch failed: " + e);
            }
        }, "watch");
        thread.setDaemon(true);
        thread.start();
    }

    /** A runnable that may throw. */
    private interface Task {
        void run() throws Exception;
    }
}
