package antiphon.bench;

import java.util.List;

/** Spring Kafka as a contender of the benchmark; the contract is that of {@code bench/src/contract.rs}. */
public final class Main {

    private Main() {
    }

    /** Runs {@code requester} or {@code replier} until standard input ends. */
    public static void main(String[] args) {
        int code = 0;
        try {
            List<String> arguments = List.of(args);
            Role role = Role.parse(arguments.subList(1, arguments.size()));
            switch (arguments.get(0)) {
                case "requester" -> Requester.run(role);
                case "replier" -> Replier.run(role);
                default -> throw new IllegalArgumentException("neither requester nor replier: " + arguments.get(0));
            }
        } catch (Exception e) {
            e.printStackTrace();
            code = 1;
        }
        // Client threads that linger must not keep the process alive after its input has ended.
        Runtime.getRuntime().halt(code);
    }
}
